"""`sync`: fetch a yum repository."""

import asyncio
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from pulp_worker import Context, OperationError, Resource, TaskCancelled, operation
from pulp_worker.fetching import FetchFailed

from pulp_operations.arguments import SyncArguments, fencing_token
from pulp_operations.concurrently import unless_cancelled
from pulp_operations.conversion import converted
from pulp_operations.feeds import Feed, Unchanged
from pulp_operations.fences import content_held
from pulp_operations.progress import CANCELED, FAILED, FINISHED, IN_PROGRESS, Reporting, SyncProgress
from pulp_operations.records import FeedSource, VersionRecord
from pulp_operations.settings import Settings
from pulp_operations.storage import telling_storage_errors
from pulp_operations.store import Store
from pulp_operations.syncing.comparing import PackageChanges, check_shrinking, compare
from pulp_operations.syncing.content import fetch_content
from pulp_operations.syncing.receiving import ReceivedMetadata, receive
from pulp_operations.syncing.run import RepositoryChanged, SyncRun
from pulp_operations.syncing.trees import Tree, named_again
from pulp_operations.versions import StoredVersion, Versions

_CONTENT: Final = "content_unit:orphans"
MOST_RESTARTS: Final = 3
"""How often one sync restarts because the repository changes while it is fetched."""
MOST_NOTES: Final = 20
"""The most notes in a result and in a version; the others are only counted."""


@operation(
    "sync",
    arguments=SyncArguments,
    cancellable=True,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
    tags=["pulp:repository:{repo_id}", "pulp:action:sync"],
)
@telling_storage_errors
async def sync(context: Context[SyncArguments]) -> object:
    """Fetch a yum repository: its metadata, and the packages and files of its tree that are not here yet.

    An unchanged repository costs one request, and creates no version. Fails if a package could not be fetched; the
    fetched ones stay, and the next sync continues from there.
    """
    given = context.arguments
    token = fencing_token(context, f"repository:{given.repo_id}", _CONTENT)
    store, progress, settings = Store(context.storage), SyncProgress(), Settings.read(os.environ)
    versions, reporting = store.versions(given.repo_id), Reporting(progress, context.report)
    with store.scratch() as scratch:
        try:
            fetching = context.fetcher(
                connections=given.concurrency, verify_tls=given.verify_tls, credential=given.credential
            )
            async with fetching as fetcher:
                run = SyncRun(
                    context=context,
                    store=store,
                    settings=settings,
                    feed=Feed(context, fetcher, given.feed),
                    progress=progress,
                    reporting=reporting,
                    scratch=scratch / "work",
                    held=await _version_before(context, versions, scratch, token),
                )
                outcome = await unless_cancelled(context, _fetch(run))
            # From here on a cancel comes too late: the repository gets its new version whole.
            keep = given.retention or settings.keep_versions
            version = await asyncio.to_thread(_keep, run, outcome, token, keep)
            progress.comps = progress.errata = FINISHED
            reporting.now()
        except BaseException as error:
            is_cancelled = isinstance(error, TaskCancelled | asyncio.CancelledError)
            progress.stop(CANCELED if is_cancelled else FAILED)
            reporting.now()
            raise
    return _result(version, outcome, run)


class _Outcome(Struct, frozen=True, kw_only=True):
    """What was fetched. `folder` has a new version's files; if None, the version before stays the newest."""

    version: VersionRecord
    folder: Path | None = None
    changes: PackageChanges


async def _version_before(
    context: Context[SyncArguments], versions: Versions, scratch: Path, token: int
) -> StoredVersion | None:
    """The newest version, in a form that an additive sync can build on."""
    held = await asyncio.to_thread(versions.newest)
    if held is None or context.arguments.mode == "mirror":
        return held
    if await asyncio.to_thread(held.damage):
        raise OperationError(
            "damaged-version",
            f"version {held.version.number} of repository {context.arguments.repo_id!r} is damaged in the storage, and"
            " an additive sync builds on it: repair the repository first",
        )
    return await converted(context, versions, held, scratch / "conversion", token)


async def _fetch(run: SyncRun) -> _Outcome:
    """Fetch everything; start over if the repository changes meanwhile. So far the store gets nothing but content."""
    for _ in range(MOST_RESTARTS + 1):
        run.scratch.mkdir()
        try:
            return await _fetch_once(run)
        except RepositoryChanged:
            run.progress.start_over()
            await asyncio.to_thread(shutil.rmtree, run.scratch)
    raise FetchFailed(
        f"the repository has changed {MOST_RESTARTS + 1} times while it was fetched: sync it when nobody writes it"
    )


async def _fetch_once(run: SyncRun) -> _Outcome:
    run.progress.metadata = IN_PROGRESS
    run.reporting.now()
    held, given = run.held, run.arguments
    if held is not None and await asyncio.to_thread(_is_current, held, given):
        answer = await run.feed.repomd(held.version.validators, held.version.repomd_checksum)
        if isinstance(answer, Unchanged):
            return await _complete(run, held)
    else:
        answer = await run.feed.repomd()
        assert not isinstance(answer, Unchanged)  # no validators were given
    received = await receive(run, answer)
    changes = await asyncio.to_thread(compare, held, received.folder)
    if not given.allow_shrink:
        percent = given.most_removed_percent
        check_shrinking(changes, given.repo_id, run.settings.most_removed_percent if percent is None else percent)
    run.progress.metadata = FINISHED
    tree = await fetch_content(run, received.folder, received.tree)
    run.progress.comps = run.progress.errata = IN_PROGRESS
    return _Outcome(version=_version(run, received, tree), folder=received.folder, changes=changes)


def _is_current(held: StoredVersion, given: SyncArguments) -> bool:
    """Whether nothing needs to be fetched if the feed's repomd.xml is the one of this version."""
    version = held.version
    return version.is_complete and version.feed_key == feed_key(given) and not held.damage()


async def _complete(run: SyncRun, held: StoredVersion) -> _Outcome:
    """Fetch the files of an unchanged version that the store has lost."""
    run.progress.metadata = FINISHED
    for note in held.version.notes:
        run.progress.note(note)
    await fetch_content(run, held.folder, named_again(held.version.tree))
    run.progress.comps = run.progress.errata = IN_PROGRESS
    number = held.version.counts.packages
    return _Outcome(version=held.version, changes=PackageChanges(before=number, after=number, added=0, removed=0))


def feed_key(given: SyncArguments) -> str:
    """A hash of the feed, and of the options that decide what to keep of it."""
    return hashlib.sha256(msgspec.json.encode([str(given.feed), given.mode, given.metadata])).hexdigest()


def _version(run: SyncRun, received: ReceivedMetadata, tree: Tree) -> VersionRecord:
    """The new version; it has no number yet."""
    for note in tree.notes:
        run.progress.note(note)
    notes, given = [*received.notes, *tree.notes], run.arguments
    return VersionRecord(
        number=0,
        token=0,
        feed_key=feed_key(given),
        source=_source(given),
        mode=given.mode,
        repomd_checksum=received.repomd_checksum,
        revision=received.repomd.revision,
        timestamp_s=received.repomd.timestamp_s,
        validators=received.fetched.validators,
        counts=msgspec.structs.replace(received.counts, tree_files=len(tree.files)),
        entries=received.entries,
        treeinfo=received.treeinfo,
        tree=tree.files,
        notes=notes[:MOST_NOTES],
        notes_total=received.notes_total + len(tree.notes),
        is_complete=received.is_complete,
    )


def _keep(run: SyncRun, outcome: _Outcome, token: int, keep: int) -> VersionRecord:
    """Save the version if it differs from the previous one. Returns the newest version."""
    held, versions = run.held, run.store.versions(run.arguments.repo_id)
    is_same = held is not None and _is_same(outcome.version, held.version) and not held.damage()
    if held is not None and (outcome.folder is None or is_same):
        versions.retain(keep, token, _source(run.arguments))
        return held.version
    assert outcome.folder is not None
    with content_held(run.store.root, run.context.tokens[_CONTENT]):
        return versions.save(outcome.folder, msgspec.structs.replace(outcome.version, token=token), keep=keep)


def _is_same(version: VersionRecord, held: VersionRecord) -> bool:
    """Whether they differ only in when and how they were fetched."""
    names = ("number", "token", "source", "validators", "files")
    return msgspec.structs.replace(version, **{name: getattr(held, name) for name in names}) == held


def _source(given: SyncArguments) -> FeedSource:
    """The source of a repair, with the credential of the last sync, which may have replaced another one."""
    return FeedSource(feed=str(given.feed), credential=given.credential, verify_tls=given.verify_tls)


def _result(version: VersionRecord, outcome: _Outcome, run: SyncRun) -> dict[str, Any]:
    is_unchanged = run.held is not None and version.number == run.held.version.number
    return {
        "packages": version.counts.packages,
        "fetched": run.progress.packages_fetched,
        "errata": version.counts.errata,
        "package_groups": version.counts.package_groups,
        "tree_files": version.counts.tree_files,
        "version": version.number,
        "unchanged": is_unchanged,
        "added": outcome.changes.added,
        "removed": outcome.changes.removed,
        "notes": [note.text for note in version.notes],
        "notes_total": version.notes_total,
    }
