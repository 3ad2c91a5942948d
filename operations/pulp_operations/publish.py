"""`publish`: write out what a repository holds, as a yum repository."""

import asyncio
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pulp_worker import Context, OperationError, Resource, operation
from pulp_worker.fetching import patiently

from pulp_operations.arguments import PublishArguments, fencing_token
from pulp_operations.metadata import packages_of, unpacked_metadata
from pulp_operations.progress import FAILED, FINISHED, IN_PROGRESS, NOT_STARTED
from pulp_operations.reading import write_metadata
from pulp_operations.repomd import shown_href
from pulp_operations.store import Package, Store, checksum_of

_MOST_LIST_BYTES: Final = 10 * 1024 * 1024
_PARTS: Final = ("package_list", "metadata", "packages", "verification")


@operation(
    "publish",
    arguments=PublishArguments,
    requires="sync",
    cancellable=False,
    resources=[Resource("repository", "{repo_id}"), Resource("content_unit", "orphans", "shared")],
    tags=["pulp:repository:{repo_id}", "pulp:action:publish"],
)
def publish(context: Context[PublishArguments]) -> object:
    """Write out what was fetched, as a yum repository, and check it by reading it back.

    Not cancellable: a publication becomes visible whole, or not at all.
    """
    repo_id = context.arguments.repo_id
    token = fencing_token(context, f"repository:{repo_id}", "content_unit:orphans")
    store = Store(context.storage)
    held = store.repository(repo_id)
    if held is None:
        raise OperationError("not-synced", f"repository {repo_id!r} holds nothing: sync it first")
    progress = _Progress(context)
    with store.scratch() as scratch:
        try:
            progress.enter("package_list")
            names = _wanted_names(context)
            progress.enter("metadata")
            published = asyncio.run(_write_metadata(context, held["folder"], scratch, names))
            progress.enter("packages")
            _link_packages(store, held["packages"], published, scratch)
            progress.enter("verification")
            size_bytes = _verify(context, scratch, published)
            folder = store.save_publication(repo_id, scratch, token)
        except BaseException:
            progress.end(FAILED)
            raise
    progress.end(FINISHED)
    return {
        "packages": len(published),
        "size": size_bytes,
        "version": held["version"],
        "publication": int(folder.name),
    }


class _Progress:
    """The state of each part of a publish."""

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self._states = dict.fromkeys(_PARTS, NOT_STARTED)

    def enter(self, part: str) -> None:
        self.end(FINISHED, part)

    def end(self, state: str, next_part: str | None = None) -> None:
        """What is in progress ended so; the next part begins."""
        for part, now in self._states.items():
            if part == next_part:
                self._states[part] = IN_PROGRESS
            elif now == IN_PROGRESS:
                self._states[part] = state
        parts = {part: {"state": now} for part, now in self._states.items()}
        self._context.report({"yum_distributor": parts})


def _wanted_names(context: Context[PublishArguments]) -> list[str] | None:
    """The lines of the list, in order; None: all packages."""
    given = context.arguments
    url = given.packages_url
    if url is None:
        return None

    async def fetched() -> bytes:
        async with context.fetcher(verify_tls=given.verify_tls) as fetcher:
            return await patiently(lambda: fetcher.read(url, most_bytes=_MOST_LIST_BYTES))

    try:
        lines = asyncio.run(fetched()).decode().splitlines()
    except UnicodeDecodeError:
        raise OperationError("fetch-failed", "the list of packages is no text in UTF-8") from None
    return [line.strip() for line in lines]


async def _write_metadata(
    context: Context[PublishArguments], source: Path, folder: Path, names: list[str] | None
) -> dict[str, str]:
    """Write the repodata; checksum → location of each published package."""
    async with unpacked_metadata(context, source, folder) as plain:
        published: dict[str, str] = await context.isolated(
            write_metadata, plain, str(folder), names, returns=dict[str, str], what="writing the metadata"
        )
    return published


async def _read_back(context: Context[Any], folder: Path) -> list[Package]:
    async with unpacked_metadata(context, folder, folder) as plain:
        return await packages_of(context, plain)


def _link_packages(store: Store, held: list[Package], published: Mapping[str, str], folder: Path) -> None:
    for package in held:
        href = published.get(package.checksum)
        if href is None or (folder / href).exists():
            continue
        (folder / href).parent.mkdir(parents=True, exist_ok=True)
        try:
            _link_or_copy(store.content_path(package), folder / href)
        except FileNotFoundError as error:
            raise OperationError(
                "content-missing", f"{shown_href(package.href, package.checksum)} is not in the store: sync again"
            ) from error


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV):
            raise
        shutil.copyfile(source, target)  # a file system without hard links, or no more of them


def _verify(context: Context[Any], folder: Path, published: Mapping[str, str]) -> int:
    """Read the publication back, every byte of it; its packages' size in bytes."""
    size_bytes, seen = 0, set()
    for package in asyncio.run(_read_back(context, folder)):
        path = folder / package.href
        if path.stat().st_size != package.size_bytes or checksum_of(path, package.algorithm) != package.checksum:
            raise OperationError(
                "bad-publication", f"{shown_href(package.href, package.checksum)} is not what the metadata says"
            )
        size_bytes += package.size_bytes
        seen.add(package.checksum)
    if seen != set(published):
        raise OperationError("bad-publication", "the metadata that was written lacks packages")
    return size_bytes
