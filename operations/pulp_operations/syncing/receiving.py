"""The first step of a sync: the metadata of the feed, unchanged and as our own records."""

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from msgspec import Struct
from pulp_worker import LimitExceeded, OperationError
from pulp_worker.fetching import FetchFailed

from pulp_operations.concurrently import together
from pulp_operations.feeds import FeedDown, Fetched
from pulp_operations.layout import checksum_of, link_or_copy
from pulp_operations.reading import Normalised, Normalising, UnpackLimits, normalise, read_repomd, read_treeinfo
from pulp_operations.records import ContentCounts, MetadataFile, Note, Repomd, TreeFile
from pulp_operations.storage import storage_errors
from pulp_operations.syncing.choosing import choose, is_needed
from pulp_operations.syncing.run import RepositoryChanged, SyncRun
from pulp_operations.syncing.trees import named_again
from pulp_operations.versions import RECEIVED

_TREEINFO: Final = "treeinfo"
_MODULES: Final = "modules"
_MODULES_NOTE: Final = Note(
    what="modules metadata",
    reason="it is the feed's alone: clients take packages of former modules for ordinary ones",
)


class ReceivedMetadata(Struct, frozen=True, kw_only=True):
    """What the feed has, in a folder as a version has it. Packages and files of the tree are not fetched yet."""

    folder: Path
    repomd: Repomd
    repomd_checksum: str
    fetched: Fetched
    entries: list[MetadataFile]
    counts: ContentCounts
    treeinfo: str | None
    tree: list[TreeFile]
    notes: list[Note]
    notes_total: int
    is_complete: bool


class _Parts(Struct):
    """The fetched and the omitted files."""

    entries: list[MetadataFile]
    notes: list[Note]
    is_complete: bool = True


async def receive(run: SyncRun, fetched: Fetched) -> ReceivedMetadata:
    """Fetch and read the metadata that this repomd.xml names.

    Raises `RepositoryChanged` if the feed has another one by now, `FetchFailed`, `LimitExceeded`, and `OperationError`
    (`bad-repository`).
    """
    folder = run.scratch / "version"
    received = folder / RECEIVED
    received.mkdir(parents=True)
    allowed = run.settings.checksum_types
    repomd = await run.context.isolated(
        read_repomd, fetched.content, allowed, returns=Repomd, what="reading repomd.xml"
    )
    choice = choose(repomd.entries, run.arguments.metadata)
    (received / "repomd.xml").write_bytes(fetched.content)
    parts = await _fetch_metadata(run, choice.entries, received)
    await _fetch_signature(run, received, parts)
    treeinfo, tree = await _fetch_treeinfo(run, received, parts)
    normalised = await _normalise(run, parts.entries, folder)
    # A mirror keeps what repomd.xml names, whether anybody can read it or not.
    is_mirror, unreadable = run.arguments.metadata == "mirror", normalised.left_out
    own_notes = [*repomd.notes, *choice.notes, *parts.notes, *_notes_of_additions(run, parts.entries)]
    notes = [*own_notes, *normalised.notes]
    for note in notes:
        run.progress.note(note)
    return ReceivedMetadata(
        folder=folder,
        repomd=repomd,
        repomd_checksum=hashlib.sha256(fetched.content).hexdigest(),
        fetched=fetched,
        entries=parts.entries if is_mirror else [each for each in parts.entries if each.type not in unreadable],
        counts=normalised.counts,
        treeinfo=treeinfo,
        tree=tree,
        notes=notes,
        notes_total=len(own_notes) + normalised.notes_total,
        is_complete=parts.is_complete,
    )


async def _fetch_metadata(run: SyncRun, entries: list[MetadataFile], received: Path) -> _Parts:
    """Fetch these files; a file that is not needed may be missing, and is noted then."""
    failures: list[tuple[MetadataFile, FetchFailed | LimitExceeded]] = []

    async def fetch(entry: MetadataFile) -> None:
        target = received / entry.own_name
        if await asyncio.to_thread(_reuse, run, entry, target):
            return
        try:
            with storage_errors(run.store.root, target, entry.size_bytes):
                await run.feed.metadata(entry, target)
        except (FetchFailed, LimitExceeded) as error:
            failures.append((entry, error))
            target.unlink(missing_ok=True)

    await together(fetch(entry) for entry in entries)
    for entry, error in failures:
        if isinstance(error, FetchFailed) and await run.is_outdated(error):
            raise RepositoryChanged
        if is_needed(entry):
            raise error
    missing = {entry.own_name for entry, _ in failures}
    return _Parts(
        entries=[entry for entry in entries if entry.own_name not in missing],
        notes=[Note(what=f"{entry.shown_type} metadata", reason=error.description) for entry, error in failures],
        is_complete=not any(isinstance(error, FetchFailed) for _, error in failures),
    )


def _reuse(run: SyncRun, entry: MetadataFile, target: Path) -> bool:
    """Take the file from the previous version, if that has the same one, undamaged."""
    if run.held is None or entry.own_name not in {each.own_name for each in run.held.version.entries}:
        return False
    source = run.held.folder / RECEIVED / entry.own_name
    try:
        if checksum_of(source, entry.algorithm) != entry.checksum:
            return False
        link_or_copy(source, target)
    except FileNotFoundError:
        return False
    return True


async def _fetch_signature(run: SyncRun, received: Path, parts: _Parts) -> None:
    """Keep the signature of repomd.xml, and its key; clients that do not check it need neither."""
    try:
        signature = await run.feed.signature()
    except (FetchFailed, LimitExceeded) as error:
        if isinstance(error, FetchFailed) and await run.is_outdated(error):
            raise RepositoryChanged from error
        _leave_out(parts, "the signature of repomd.xml", error)
        return
    if signature.asc is not None and await run.feed.changed():
        raise RepositoryChanged  # it may sign another repomd.xml than the one that was fetched
    for name, content in (("repomd.xml.asc", signature.asc), ("repomd.xml.key", signature.key)):
        if content is not None:
            (received / name).write_bytes(content)


async def _fetch_treeinfo(run: SyncRun, received: Path, parts: _Parts) -> tuple[str | None, list[TreeFile]]:
    """The name of the description of the installable tree, and its files; most feeds have none.

    A tree of the previous version is not lost just because a server does not answer.
    """
    try:
        treeinfo = await run.feed.treeinfo()
        if treeinfo is None:
            return await asyncio.to_thread(_kept_tree, run, received)
        what = "reading the description of the installable tree"
        tree = await run.context.isolated(read_treeinfo, treeinfo.content, returns=list[TreeFile], what=what)
    except OperationError as error:
        if isinstance(error, FeedDown):
            raise
        if run.held is not None and run.held.version.treeinfo is not None:
            raise
        _leave_out(parts, "the installable tree", error)
        return None, []
    (received / _TREEINFO).write_bytes(treeinfo.content)
    return treeinfo.name, tree


def _kept_tree(run: SyncRun, received: Path) -> tuple[str | None, list[TreeFile]]:
    """An additive sync keeps the tree that the feed no longer has."""
    held = run.held
    if held is None or held.version.treeinfo is None or run.arguments.mode == "mirror":
        return None, []
    link_or_copy(held.folder / RECEIVED / _TREEINFO, received / _TREEINFO)
    return held.version.treeinfo, named_again(held.version.tree)


def _notes_of_additions(run: SyncRun, entries: list[MetadataFile]) -> list[Note]:
    """Notes on what an additive sync cannot add to: modules decide which packages clients see as ordinary ones."""
    if run.held is None or run.arguments.mode == "mirror":
        return []
    now = {entry.checksum for entry in entries}
    is_replaced = any(entry.type == _MODULES and entry.checksum not in now for entry in run.held.version.entries)
    return [_MODULES_NOTE] if is_replaced else []


def _leave_out(parts: _Parts, what: str, error: OperationError) -> None:
    parts.notes.append(Note(what=what, reason=error.description))
    parts.is_complete = parts.is_complete and not isinstance(error, FetchFailed)


async def _normalise(run: SyncRun, entries: list[MetadataFile], folder: Path) -> Normalised:
    fetching = run.context.fetching
    base = run.held.folder if run.held is not None and run.arguments.mode == "additive" else None
    options = Normalising(
        limits=UnpackLimits(fetching.unpacked_bytes, fetching.unpacked_ratio),
        algorithms=run.settings.checksum_types,
        base=None if base is None else str(base),
    )
    received = folder / RECEIVED
    return await run.context.isolated(
        normalise, str(received), entries, str(folder), options, returns=Normalised, what="reading the metadata"
    )
