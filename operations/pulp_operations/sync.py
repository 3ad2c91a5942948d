"""`sync`: fetch a yum repository."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from pulp_worker import Context, OperationError, Resource, TaskCancelled, operation
from rpmrepo_metadata import MetadataError, RepositoryReader

from pulp_operations.arguments import SyncArguments, fencing_token
from pulp_operations.errors import FetchFailed
from pulp_operations.progress import CANCELED, FAILED, FINISHED, IN_PROGRESS, SyncProgress
from pulp_operations.repomd import bad_repository, known_checksum, parse_repomd, safe_href
from pulp_operations.store import Package, Store

if TYPE_CHECKING:
    from pulp_operations.feed import Feed

T = TypeVar("T")
_WANTED: Final = ("primary", "filelists", "other", "updateinfo", "group", "group_gz", "group_xz", "group_zst")


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
    # Here, as it brings httpx, and that the terminal's colours: 8 MiB of every worker, also of one that never syncs.
    from pulp_operations.feed import opened

    given = context.arguments
    repo_id = given.repo_id
    token = fencing_token(context, f"repository:{repo_id}", "content_unit:orphans")
    store, progress = Store(context.storage), SyncProgress()
    with store.scratch() as scratch:
        try:
            async with opened(given.feed, concurrency=given.concurrency, verify_tls=given.verify_tls) as feed:
                run = _Run(context, store, progress, feed, scratch, repo_id, given.concurrency)
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
    feed: "Feed"
    scratch: Path
    repo_id: str
    concurrency: int

    async def fetch(self) -> _Fetched:
        """Fetch everything; nothing but packages is in the store yet."""
        try:
            packages = await self._metadata()
            await self._content(packages)
            return await self._comps_and_errata(packages)
        except FetchFailed as error:
            raise OperationError("fetch-failed", str(error)) from error
        except MetadataError as error:
            raise bad_repository(f"the metadata cannot be read: {error}") from error

    def _report(self) -> None:
        self.context.report(self.progress.tree())

    async def _metadata(self) -> list[Package]:
        self.progress.metadata = IN_PROGRESS
        self._report()
        content = await self.feed.repomd()
        entries = [entry for entry in parse_repomd(content) if entry.type in _WANTED]
        if not any(entry.type == "primary" for entry in entries):
            raise bad_repository("repomd.xml names no primary metadata")
        await _together(self.feed.metadata(entry, self.scratch / entry.href) for entry in entries)
        (self.scratch / "repodata").mkdir(exist_ok=True)
        (self.scratch / "repodata" / "repomd.xml").write_bytes(content)
        packages = await asyncio.to_thread(lambda: list(_packages(self.scratch)))
        self.progress.metadata = FINISHED
        return packages

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
                except FetchFailed as error:
                    self.progress.failed(package.href, str(error))
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

    async def _comps_and_errata(self, packages: list[Package]) -> _Fetched:
        reader = RepositoryReader(str(self.scratch))
        self.progress.comps = IN_PROGRESS
        self._report()
        comps = await asyncio.to_thread(reader.read_comps)
        self.progress.comps, self.progress.errata = FINISHED, IN_PROGRESS
        self._report()
        errata = await asyncio.to_thread(lambda: sum(1 for _ in reader.iter_advisories()))
        self.progress.errata = FINISHED
        self._report()
        return _Fetched(packages, errata, 0 if comps is None else len(comps.groups))


async def _together(coroutines: Iterable[Coroutine[None, None, None]]) -> None:
    """Run them at once; the first that raises ends the others, and what it raised is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


def _packages(folder: Path) -> Iterator[Package]:
    for found in RepositoryReader(str(folder)).iter_packages():
        algorithm, checksum = known_checksum(*found.checksum)
        base_url = found.location_base or ""
        if base_url and urlsplit(base_url).scheme not in ("http", "https"):
            raise bad_repository(f"a package is at {base_url!r}, which is no http or https URL")
        yield Package(safe_href(found.location_href), algorithm, checksum, found.size_package, base_url)
