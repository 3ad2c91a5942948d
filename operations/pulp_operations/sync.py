"""`sync`: fetch a yum repository."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pulp_worker import Context, LimitExceeded, Resource, TaskCancelled, operation
from pulp_worker.fetching import FetchFailed

from pulp_operations.arguments import SyncArguments, fencing_token
from pulp_operations.feed import Feed
from pulp_operations.metadata import packages_of, unpacked_metadata
from pulp_operations.progress import CANCELED, FAILED, FINISHED, IN_PROGRESS, SyncProgress
from pulp_operations.reading import Counts, read_counts
from pulp_operations.repomd import MetadataFile, parse_repomd, shown_href, written_repomd
from pulp_operations.store import Package, Store

T = TypeVar("T")
MOST_FAILURES: Final = 1000
"""Of packages; each was tried several times."""


@operation(
    "sync",
    arguments=SyncArguments,
    cancellable=True,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
    tags=["pulp:repository:{repo_id}", "pulp:action:sync"],
)
async def sync(context: Context[SyncArguments]) -> object:
    """Fetch a yum repository: metadata, then the packages that are not here yet, then comps and errata.

    Fails if a package could not be fetched; what was fetched stays, and the next sync goes on from there.
    """
    given = context.arguments
    repo_id = given.repo_id
    token = fencing_token(context, f"repository:{repo_id}", "content_unit:orphans")
    store, progress = Store(context.storage), SyncProgress()
    with store.scratch() as scratch:
        try:
            fetching = context.fetcher(
                connections=given.concurrency, verify_tls=given.verify_tls, credential=given.credential
            )
            async with fetching as fetcher:
                run = _Run(context, store, progress, Feed(fetcher, given.feed), scratch, repo_id, given.concurrency)
                fetched = await _unless_cancelled(context, run.fetch())
            # From here on a cancel comes too late: the repository gets its new version whole.
            version = await asyncio.to_thread(store.save_repository, repo_id, fetched.packages, scratch, token)
        except BaseException as error:
            is_cancelled = isinstance(error, TaskCancelled | asyncio.CancelledError)
            progress.stop(CANCELED if is_cancelled else FAILED)
            context.report(progress.tree())
            raise
    return {
        "packages": len(fetched.packages),
        "fetched": progress.num_success,
        "errata": fetched.errata,
        "package_groups": fetched.package_groups,
        "version": version,
    }


async def _unless_cancelled(context: Context[Any], coroutine: Coroutine[None, None, T]) -> T:
    """What the coroutine returns; a cancel ends it at once, whatever it waits for."""
    work = asyncio.create_task(coroutine)
    cancelled = asyncio.create_task(context.wait_cancelled())
    try:
        await asyncio.wait([work, cancelled], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise TaskCancelled
    finally:
        work.cancel()
        cancelled.cancel()
        await asyncio.gather(work, cancelled, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Fetched:
    packages: list[Package]
    errata: int
    package_groups: int


@dataclass(frozen=True, slots=True)
class _Run:
    context: Context[SyncArguments]
    store: Store
    progress: SyncProgress
    feed: Feed
    scratch: Path
    repo_id: str
    concurrency: int

    async def fetch(self) -> _Fetched:
        """Fetch everything; nothing but packages is in the store yet."""
        await self._metadata()
        async with unpacked_metadata(self.context, self.scratch, self.scratch) as plain:
            packages = await packages_of(self.context, plain)
            self.progress.metadata = FINISHED
            await self._content(packages)
            return await self._comps_and_errata(plain, packages)

    def _report(self) -> None:
        self.context.report(self.progress.tree())

    async def _metadata(self) -> None:
        self.progress.metadata = IN_PROGRESS
        self._report()
        content = await self.feed.repomd()
        entries = await self.context.isolated(
            parse_repomd, content, returns=list[MetadataFile], what="reading repomd.xml"
        )
        (self.scratch / "repodata").mkdir()
        await _together(self.feed.metadata(entry, self.scratch / entry.own_href) for entry in entries)
        (self.scratch / "repodata" / "repomd.xml").write_bytes(written_repomd(entries))

    async def _content(self, packages: list[Package]) -> None:
        missing = await asyncio.to_thread(self._missing, packages)
        self.progress.content = IN_PROGRESS
        self.progress.expect([package.size_bytes for package in missing])
        self._report()
        queue = iter(missing)
        self.progress.handed_over()

        async def download() -> None:
            for package in queue:
                try:
                    await self.feed.package(package, self.store, self.repo_id)
                except (FetchFailed, LimitExceeded) as error:
                    self.progress.failed(shown_href(package.href, package.checksum), str(error))
                    if self.progress.num_error >= MOST_FAILURES:
                        raise FetchFailed(f"{MOST_FAILURES} packages could not be fetched: it gives up") from None
                else:
                    self.progress.fetched(package.size_bytes)
                self._report()

        await _together(download() for _ in range(min(self.concurrency, len(missing))))
        if self.progress.num_error:
            raise FetchFailed(f"{self.progress.num_error} of {len(missing)} packages could not be fetched")
        self.progress.content = FINISHED

    def _missing(self, packages: list[Package]) -> list[Package]:
        missing = (package for package in packages if not self.store.has(package))
        return list({package.checksum: package for package in missing}.values())

    async def _comps_and_errata(self, plain: str, packages: list[Package]) -> _Fetched:
        self.progress.comps = self.progress.errata = IN_PROGRESS
        self._report()
        counts = await self.context.isolated(
            read_counts, plain, returns=Counts, what="reading the package groups and errata"
        )
        self.progress.comps = self.progress.errata = FINISHED
        self._report()
        return _Fetched(packages, counts.errata, counts.package_groups)


async def _together(coroutines: Iterable[Coroutine[None, None, None]]) -> None:
    """Run them at once; the first that raises ends the others, and what it raised is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
