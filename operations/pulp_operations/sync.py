"""`sync`: fetch a yum repository."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
from pulp_worker import Context, OperationError, Resource, TaskCancelled, operation
from rpmrepo_metadata import MetadataError, RepositoryReader

from pulp_operations import arguments
from pulp_operations.feed import Feed, FetchFailed, parse_repomd, safe_href
from pulp_operations.progress import CANCELED, FAILED, FINISHED, IN_PROGRESS, SyncProgress
from pulp_operations.store import Package, Store

_WANTED: Final = ("primary", "filelists", "other", "updateinfo", "group", "group_gz", "group_xz", "group_zst")


@operation(
    "sync",
    cancellable=True,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
    tags=["pulp:repository:{repo_id}", "pulp:action:sync"],
)
async def sync(context: Context) -> object:
    """Fetch a yum repository: metadata, then the packages that are not here yet, then comps and errata.

    Arguments: `repo_id`; `feed`, the repository's URL; `concurrency`, downloads at once (4). Fails if a package could
    not be fetched; what was fetched stays, and the next sync goes on from there.
    """
    repo_id = arguments.text(context.arguments, "repo_id")
    feed_url = arguments.url(context.arguments, "feed")
    concurrency = arguments.number(context.arguments, "concurrency", 4, 64)
    progress = SyncProgress()
    context.storage.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="sync-", dir=context.storage))
    timeout = httpx.Timeout(60, connect=10)
    limits = httpx.Limits(max_connections=concurrency)
    try:
        async with httpx.AsyncClient(timeout=timeout, limits=limits, follow_redirects=True) as client:
            work = asyncio.create_task(_sync(context, Feed(client, feed_url), scratch, progress, repo_id, concurrency))
            return await _unless_cancelled(context, work)
    except (TaskCancelled, asyncio.CancelledError):
        progress.stop(CANCELED)
        context.report(progress.tree())
        raise
    except (FetchFailed, MetadataError) as error:
        progress.stop(FAILED)
        context.report(progress.tree())
        raise OperationError("fetch-failed", str(error)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _unless_cancelled(context: Context, work: "asyncio.Task[object]") -> object:
    """The work's result; a cancel ends it at once, whatever it waits for."""
    cancelled = asyncio.create_task(context.wait_cancelled())
    try:
        await asyncio.wait([work, cancelled], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise TaskCancelled
    finally:
        for task in (work, cancelled):
            task.cancel()
        await asyncio.wait([work, cancelled])


async def _sync(
    context: Context, feed: Feed, scratch: Path, progress: SyncProgress, repo_id: str, concurrency: int
) -> object:
    store = Store(context.storage)
    progress.metadata = IN_PROGRESS
    context.report(progress.tree())
    await _fetch_metadata(feed, scratch)
    packages = await asyncio.to_thread(lambda: list(_packages(scratch)))
    progress.metadata = FINISHED
    missing = list({package.checksum: package for package in packages if not store.has(package)}.values())
    progress.content = IN_PROGRESS
    progress.expect([package.size_bytes for package in missing])
    context.report(progress.tree())
    await _fetch_packages(context, feed, store, missing, progress, concurrency)
    if progress.num_error:
        progress.content = FAILED
        context.report(progress.tree())
        raise OperationError("fetch-failed", f"{progress.num_error} of {len(missing)} packages could not be fetched")
    progress.content, progress.comps = FINISHED, IN_PROGRESS
    reader = RepositoryReader(str(scratch))
    comps = await asyncio.to_thread(reader.read_comps)
    progress.comps, progress.errata = FINISHED, IN_PROGRESS
    context.report(progress.tree())
    advisories = await asyncio.to_thread(lambda: sum(1 for _ in reader.iter_advisories()))
    progress.errata = FINISHED
    token = context.tokens.get(f"repository:{repo_id}", 0)
    version = await asyncio.to_thread(store.save_repository, repo_id, packages, scratch / "repodata", token)
    context.report(progress.tree())
    return {
        "packages": len(packages),
        "fetched": progress.num_success,
        "errata": advisories,
        "package_groups": 0 if comps is None else len(comps.groups),
        "version": version,
    }


async def _fetch_metadata(feed: Feed, scratch: Path) -> None:
    repomd = await feed.repomd()
    (scratch / "repodata").mkdir()
    (scratch / "repodata" / "repomd.xml").write_bytes(repomd)
    entries = [entry for entry in parse_repomd(repomd) if entry.type in _WANTED]
    if not any(entry.type == "primary" for entry in entries):
        raise OperationError("bad-repository", "repomd.xml names no primary metadata")
    await asyncio.gather(*(feed.metadata(entry, scratch / entry.href) for entry in entries))


def _packages(folder: Path) -> Iterator[Package]:
    for found in RepositoryReader(str(folder)).iter_packages():
        algorithm, checksum = found.checksum
        if not checksum.isalnum():
            raise OperationError("bad-repository", f"a package has the checksum {checksum!r}")
        yield Package(safe_href(found.location_href), str(algorithm).lower(), checksum, found.size_package)


async def _fetch_packages(
    context: Context, feed: Feed, store: Store, missing: list[Package], progress: SyncProgress, concurrency: int
) -> None:
    queue: asyncio.Queue[Package] = asyncio.Queue()
    for package in missing:
        queue.put_nowait(package)
    progress.handed_over()

    async def download() -> None:
        while not queue.empty():
            package = queue.get_nowait()
            try:
                await feed.package(package, store)
            except FetchFailed as error:
                progress.failed(package.href, str(error))
            else:
                progress.fetched(package.size_bytes)
            context.report(progress.tree())

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(missing))):
            group.create_task(download())
