"""The second step of a sync: the packages that the store does not have, and the files of the installable tree."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from pulp_worker import LimitExceeded
from pulp_worker.fetching import FetchFailed

from pulp_operations.concurrently import together
from pulp_operations.damage import heal
from pulp_operations.feeds import FeedDown
from pulp_operations.foreign import shown_href
from pulp_operations.progress import FINISHED, IN_PROGRESS
from pulp_operations.records import Package, TreeFile
from pulp_operations.storage import check_room, storage_errors
from pulp_operations.syncing.run import RepositoryChanged, SyncRun
from pulp_operations.syncing.trees import Tree, fetch_tree, find_tree
from pulp_operations.versions import packages_in

MOST_FAILURES: Final = 1000
"""The most failed packages; each was tried several times."""


class _Missing(msgspec.Struct):
    """Packages to fetch, one a line: there may be more than the memory of a worker should hold."""

    path: Path
    number: int
    size_bytes: int

    def packages(self) -> Iterator[Package]:
        decoder = msgspec.json.Decoder(Package)
        with self.path.open("rb") as lines:
            yield from map(decoder.decode, lines)


async def fetch_content(run: SyncRun, folder: Path, tree: list[TreeFile]) -> Tree:
    """Fetch what the store lacks of the packages in `folder`, and of the tree.

    Raises `FetchFailed` if a package or a file could not be fetched: the others are in the store then. Raises
    `RepositoryChanged` if that is why, and `OperationError` (`storage-full`) before anything is fetched.
    """
    repo_id = run.arguments.repo_id
    missing = await asyncio.to_thread(_missing, run, folder)
    found = await asyncio.to_thread(find_tree, run, tree)
    what = f"the packages of repository {repo_id!r}"
    check_room(run.store.root, missing.size_bytes, run.settings.reserve_bytes, what)
    run.progress.content = IN_PROGRESS
    run.progress.expect_packages(missing.number, missing.size_bytes)
    run.progress.expect_tree_files(len(found.missing))
    run.reporting.now()
    run.progress.handed_over()
    run.store.partial_folder(repo_id).mkdir(parents=True, exist_ok=True)
    await _fetch_packages(run, missing)
    fetched = await fetch_tree(run, found)
    await asyncio.to_thread(heal, run.store.root)
    run.progress.content = FINISHED
    return fetched


def _missing(run: SyncRun, folder: Path) -> _Missing:
    path = run.scratch / "missing.jsonl"
    encoder, seen, size_bytes = msgspec.json.Encoder(), set[str](), 0
    with path.open("wb") as lines:
        for package in packages_in(folder):
            if package.checksum not in seen and not run.store.has(package):
                seen.add(package.checksum)
                size_bytes += package.size_bytes
                lines.write(encoder.encode(package) + b"\n")
    return _Missing(path, len(seen), size_bytes)


async def _fetch_packages(run: SyncRun, missing: _Missing) -> None:
    queue = missing.packages()

    async def download() -> None:
        for package in queue:
            path = run.store.partial_path(run.arguments.repo_id, package)
            try:
                with storage_errors(run.store.root, path, package.size_bytes):
                    await run.feed.package(package, path, partial(run.store.adopt, package))
            except FeedDown:
                raise
            except (FetchFailed, LimitExceeded) as error:
                await _count_failure(run, package, error)
            else:
                run.progress.fetched_package(package.size_bytes)
            run.reporting.soon()

    await together(download() for _ in range(min(run.arguments.concurrency, missing.number)))
    failed = run.progress.failed_packages
    if failed and await run.feed.changed():  # after the first failure
        raise RepositoryChanged
    if failed:
        raise FetchFailed(f"{failed} of {missing.number} packages could not be fetched")


async def _count_failure(run: SyncRun, package: Package, error: FetchFailed | LimitExceeded) -> None:
    is_first = run.progress.failed_packages == 0  # asking after each failure would cost a request each
    if is_first and isinstance(error, FetchFailed) and await run.is_outdated(error):
        raise RepositoryChanged
    run.progress.failed_package(shown_href(package.href, package.checksum), error.description)
    if run.progress.failed_packages >= MOST_FAILURES:
        raise FetchFailed(f"{MOST_FAILURES} packages could not be fetched: the sync gives up") from None
