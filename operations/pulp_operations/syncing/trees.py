"""The files of an installable tree: finding those in the store, and fetching the others."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from pulp_worker import LimitExceeded
from pulp_worker.fetching import FetchFailed

from pulp_operations.concurrently import together
from pulp_operations.feeds import ABSENT
from pulp_operations.foreign import is_ordinary
from pulp_operations.records import Note, StoredFile, TreeFile
from pulp_operations.storage import storage_errors
from pulp_operations.syncing.run import RepositoryChanged, SyncRun


class Tree(Struct, frozen=True, kw_only=True):
    """The files of the tree that are in the store, and what to report about the others."""

    files: list[StoredFile]
    notes: list[Note]


class FoundTree(Struct, frozen=True, kw_only=True):
    """The files of a tree that the store has, and those that it lacks."""

    stored: list[StoredFile]
    missing: list[TreeFile]


def named_again(files: Iterable[StoredFile]) -> list[TreeFile]:
    """The files of a version, as a description of the tree would name them."""
    return [
        TreeFile(path=file.path, algorithm=file.algorithm, checksum=file.checksum, size_bytes=file.size_bytes)
        for file in files
    ]


def find_tree(run: SyncRun, tree: list[TreeFile]) -> FoundTree:
    """Look for the files of the tree in the store. Reads folders, so call it in a thread."""
    stored, missing = [], []
    for file in tree:
        found = _stored(run, file)
        if found is None:
            missing.append(file)
        else:
            stored.append(found)
    return FoundTree(stored=stored, missing=missing)


async def fetch_tree(run: SyncRun, found: FoundTree) -> Tree:
    """Fetch the missing files. Returns the tree in the order of its paths.

    A file that the feed names but does not have is noted. Raises `FetchFailed` if one could not be fetched for another
    reason, and `RepositoryChanged` if that is the cause.
    """
    wanted, files, notes, failed = found.missing, [*found.stored], list[Note](), 0
    queue = iter(wanted)

    async def download() -> None:
        nonlocal failed
        for file in queue:
            path = _partial_path(run, file)
            try:
                with storage_errors(run.store.root, path, file.size_bytes):
                    stored = await run.feed.tree_file(file, path, run.store.adopt)
            except (FetchFailed, LimitExceeded) as error:
                if isinstance(error, FetchFailed) and await run.is_outdated(error):
                    raise RepositoryChanged from error
                note = Note(what=_shown(file), reason=error.description)
                run.progress.failed_tree_file(note.what, note.reason)
                if isinstance(error, FetchFailed) and error.status in ABSENT:
                    notes.append(note)
                else:
                    failed += 1
            else:
                files.append(stored)
                run.progress.fetched_tree_file(stored.size_bytes)
            run.reporting.soon()

    await together(download() for _ in range(min(run.arguments.concurrency, len(wanted))))
    if failed:
        raise FetchFailed(f"{failed} of {len(wanted)} files of the installable tree could not be fetched")
    return Tree(files=sorted(files, key=lambda file: file.path), notes=notes)


def _stored(run: SyncRun, file: TreeFile) -> StoredFile | None:
    """The file in the store; None if it is missing, or cannot be identified."""
    if file.algorithm is None or file.checksum is None:
        return None
    found = StoredFile(path=file.path, algorithm=file.algorithm, checksum=file.checksum, size_bytes=0)
    try:
        size_bytes = run.store.content_path(found).stat().st_size
    except FileNotFoundError:
        return None
    return msgspec.structs.replace(found, size_bytes=size_bytes) if file.size_bytes in (None, size_bytes) else None


def _partial_path(run: SyncRun, file: TreeFile) -> Path:
    name = hashlib.sha256(file.path.encode()).hexdigest()
    return run.store.partial_folder(run.arguments.repo_id) / f"tree-{name}.part"


def _shown(file: TreeFile) -> str:
    return file.path if is_ordinary(file.path) else "a file of the installable tree"
