"""Fetching from a yum repository over HTTP: resumed, verified, tried again where that may help."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import urljoin

from pulp_worker.fetching import FetchFailed, patiently

from pulp_operations.repomd import MetadataFile, is_ordinary, shown_href
from pulp_operations.store import Package, Store, checksum_of

if TYPE_CHECKING:
    from pulp_worker.fetching.answers import Answer
    from pulp_worker.fetching.fetcher import Fetcher

_MOST_REPOMD_BYTES: Final = 10 * 1024 * 1024
_MOST_METADATA_BYTES: Final = 2 * 1024 * 1024 * 1024


class Feed:
    """One repository. Every call raises `FetchFailed` with the reason, or `LimitExceeded`."""

    def __init__(self, fetcher: "Fetcher", url: str) -> None:
        self._fetcher = fetcher
        self._url = url if url.endswith("/") else f"{url}/"

    async def repomd(self) -> bytes:
        """The bytes of repomd.xml."""
        url = urljoin(self._url, "repodata/repomd.xml")
        return await patiently(lambda: self._fetcher.read(url, most_bytes=_MOST_REPOMD_BYTES))

    async def metadata(self, entry: MetadataFile, target: Path) -> None:
        """Fetch one file of metadata into `target`; its size and checksum are verified."""

        async def once() -> None:
            most_bytes = min(entry.size_bytes or _MOST_METADATA_BYTES, _MOST_METADATA_BYTES)
            url = urljoin(self._url, entry.href)
            called = None if is_ordinary(entry.href) else f"{entry.type} metadata"
            async with self._fetcher.get(url, most_bytes=most_bytes, called=called) as answer:
                with target.open("wb") as file:
                    await _save(answer, file)
            await asyncio.to_thread(_verify_metadata, entry, target)

        await patiently(once)

    async def package(self, package: Package, store: Store, repo_id: str) -> None:
        """Fetch one package into the store, verified; goes on where an interrupted download ended."""
        partial = store.partial_path(repo_id, package)
        partial.parent.mkdir(parents=True, exist_ok=True)
        await patiently(lambda: self._package(package, partial, store))

    async def _package(self, package: Package, partial: Path, store: Store) -> None:
        with _locked(partial) as file:
            have = file.tell()
            if have > package.size_bytes:
                _empty(file)
                have = 0
            if have < package.size_bytes or have == 0:
                await self._download(package, file, have)
            await asyncio.to_thread(_verify, package, file, partial)
            await asyncio.to_thread(store.adopt, package, partial)

    async def _download(self, package: Package, file: BinaryIO, have: int) -> None:
        headers = {"Range": f"bytes={have}-"} if have else {}
        url = urljoin(urljoin(self._url, package.base_url), package.href)
        called = None if is_ordinary(package.href) and not package.base_url else _named(package)
        async with self._fetcher.get(url, headers=headers, most_bytes=package.size_bytes, called=called) as answer:
            if answer.status != 206 or not have:
                _empty(file)
            elif not (answer.header("Content-Range") or "").startswith(f"bytes {have}-"):
                raise _again(f"{_named(package)}: the server sent another part than was asked for")
            await _save(answer, file)


def _named(package: Package) -> str:
    return shown_href(package.href, package.checksum)


def _again(reason: str) -> FetchFailed:
    """It may work the next time."""
    return FetchFailed(reason, is_transient=True)


async def _save(answer: "Answer", file: BinaryIO) -> None:
    """Append what comes; a slow disk does not stop the event loop."""
    async for piece in answer.pieces():
        await asyncio.to_thread(file.write, piece)
    await asyncio.to_thread(file.flush)


@contextmanager
def _locked(partial: Path) -> Iterator[BinaryIO]:
    """The partial download, at its end, for this task alone.

    Only a task that was taken for lost and still runs can be in the way: repositories have partial files of their own.
    """
    with partial.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(file.fileno()), partial.stat())
        except (BlockingIOError, FileNotFoundError):
            is_there = False
        if not is_there:
            raise _again(f"{partial.name} is being written by another task")
        yield file


def _verify_metadata(entry: MetadataFile, target: Path) -> None:
    is_size_right = entry.size_bytes in (None, target.stat().st_size)
    if not is_size_right or checksum_of(target, entry.algorithm) != entry.checksum:
        raise _again(f"{entry.type} metadata is not what repomd.xml says: its size or {entry.algorithm} differs")


def _verify(package: Package, file: BinaryIO, partial: Path) -> None:
    size = partial.stat().st_size
    if size < package.size_bytes:
        raise _again(f"{_named(package)}: the connection ended after {size} of {package.size_bytes} bytes")
    if size > package.size_bytes or checksum_of(partial, package.algorithm) != package.checksum:
        _empty(file)
        raise _again(f"{_named(package)} is not what the metadata says: its size or {package.algorithm} differs")
    os.fsync(file.fileno())  # the store tells by its size alone that a package is whole


def _empty(file: BinaryIO) -> None:
    file.truncate(0)
    file.seek(0)
