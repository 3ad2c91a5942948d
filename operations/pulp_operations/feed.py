"""Fetching from a yum repository over HTTP: resumed, verified, tried again where that may help."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeVar
from urllib.parse import urljoin

import httpx

from pulp_operations.errors import FetchFailed
from pulp_operations.repomd import MetadataFile
from pulp_operations.store import Package, Store, checksum_of

T = TypeVar("T")
PAUSES_S = (0.5, 2.0)
"""How long to wait before the second try and those after it; after the last one the fetch has failed."""
_NETWORK_CHUNK_BYTES: Final = 128 * 1024
_MOST_REPOMD_BYTES: Final = 10 * 1024 * 1024
_MOST_METADATA_BYTES: Final = 2 * 1024 * 1024 * 1024
# What is fetched is compared byte for byte: no server or proxy may compress it on the way.
_HEADERS: Final = {"Accept-Encoding": "identity"}
_TIMEOUT: Final = httpx.Timeout(60, connect=10, pool=None)


class _Again(Exception):
    """It may work the next time."""


class Feed:
    """One repository. Every call raises `FetchFailed` with the reason."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url if url.endswith("/") else f"{url}/"

    async def repomd(self) -> bytes:
        """The bytes of repomd.xml."""

        async def once() -> bytes:
            content = b""
            async with self._get("repodata/repomd.xml") as response:
                async for chunk in response.aiter_raw(_NETWORK_CHUNK_BYTES):
                    content += chunk
                    if len(content) > _MOST_REPOMD_BYTES:
                        raise FetchFailed("repomd.xml is larger than any repository's")
            return content

        return await _patiently(once)

    async def metadata(self, entry: MetadataFile, target: Path) -> None:
        """Fetch one file of metadata into `target`; its size and checksum are verified."""

        async def once() -> None:
            async with self._get(entry.href) as response:
                with target.open("wb") as file:
                    await _save(response, file, min(entry.size_bytes or _MOST_METADATA_BYTES, _MOST_METADATA_BYTES))
            await asyncio.to_thread(_verify_metadata, entry, target)

        target.parent.mkdir(parents=True, exist_ok=True)
        await _patiently(once)

    async def package(self, package: Package, store: Store, repo_id: str) -> None:
        """Fetch one package into the store, verified; goes on where an interrupted download ended."""
        partial = store.partial_path(repo_id, package)
        partial.parent.mkdir(parents=True, exist_ok=True)
        await _patiently(lambda: self._package(package, partial, store))

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
        async with self._get(urljoin(package.base_url, package.href), headers) as response:
            if response.status_code != 206 or not have:
                _empty(file)
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise _Again(f"{package.href}: the server sent another part than was asked for")
            await _save(response, file, package.size_bytes)

    @asynccontextmanager
    async def _get(self, href: str, headers: dict[str, str] | None = None) -> AsyncIterator[httpx.Response]:
        request = {**_HEADERS, **(headers or {})}
        url = urljoin(self._url, href)
        try:
            async with self._client.stream("GET", url, headers=request) as response:
                status = response.status_code
                if status in (408, 425, 429) or status >= 500:
                    raise _Again(f"{url}: the server answered {status}")
                if status not in (200, 206):
                    raise FetchFailed(f"{url}: the server answered {status}")
                yield response
        except httpx.TransportError as error:
            raise _Again(f"{url}: {str(error) or type(error).__name__}") from error


@asynccontextmanager
async def opened(url: str, *, concurrency: int, verify_tls: bool) -> AsyncIterator[Feed]:
    """The repository at the URL, with at most so many connections."""
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(timeout=_TIMEOUT, limits=limits, verify=verify_tls, follow_redirects=True) as client:
        yield Feed(client, url)


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    for pause_s in (*PAUSES_S, None):
        try:
            return await attempt()
        except _Again as error:
            if pause_s is None:
                raise FetchFailed(str(error)) from error
            await asyncio.sleep(pause_s)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchFailed(f"{type(error).__name__}: {error}") from error
    raise AssertionError("the last try returns or raises")


async def _save(response: httpx.Response, file: BinaryIO, most_bytes: int) -> None:
    """Append what comes, up to a little more than `most_bytes`; a slow disk does not stop the event loop."""
    async for chunk in response.aiter_raw(_NETWORK_CHUNK_BYTES):
        await asyncio.to_thread(file.write, chunk)
        if file.tell() > most_bytes:
            break
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
            raise _Again(f"{partial.name} is being written by another task")
        yield file


def _verify_metadata(entry: MetadataFile, target: Path) -> None:
    is_size_right = entry.size_bytes in (None, target.stat().st_size)
    if not is_size_right or checksum_of(target, entry.algorithm) != entry.checksum:
        raise _Again(f"{entry.href} is not what repomd.xml says: its size or {entry.algorithm} differs")


def _verify(package: Package, file: BinaryIO, partial: Path) -> None:
    size = partial.stat().st_size
    if size < package.size_bytes:
        raise _Again(f"{package.href}: the connection ended after {size} of {package.size_bytes} bytes")
    if size > package.size_bytes or checksum_of(partial, package.algorithm) != package.checksum:
        _empty(file)
        raise _Again(f"{package.href} is not what the metadata says: its size or {package.algorithm} differs")
    os.fsync(file.fileno())  # the store tells by its size alone that a package is whole


def _empty(file: BinaryIO) -> None:
    file.truncate(0)
    file.seek(0)
