"""Fetching from a yum repository over HTTP: resumed, verified, tried again where that may help."""

import asyncio
import posixpath
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import httpx
from pulp_worker import OperationError

from pulp_operations.store import CHUNK_BYTES, Package, Store, hasher

T = TypeVar("T")
_TRIES: Final = 3
_MOST_REPOMD_BYTES: Final = 10 * 1024 * 1024
_MOST_METADATA_BYTES: Final = 2 * 1024 * 1024 * 1024
_REPO: Final = "{http://linux.duke.edu/metadata/repo}"


class FetchFailed(Exception):
    """Something could not be fetched; trying again does not help, or was done."""


class _Again(Exception):
    """It may work the next time."""


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """An entry of repomd.xml."""

    type: str
    href: str
    algorithm: str
    checksum: str


def parse_repomd(text: bytes) -> list[MetadataFile]:
    """The entries of repomd.xml (http://linux.duke.edu/metadata/repo). Raises `OperationError`."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise OperationError("bad-repository", f"repomd.xml is no XML: {error}") from error
    found = []
    for data in root.iter(f"{_REPO}data"):
        location, checksum = data.find(f"{_REPO}location"), data.find(f"{_REPO}checksum")
        if location is None or checksum is None or not checksum.text:
            raise OperationError("bad-repository", "repomd.xml has an entry without location or checksum")
        href = safe_href(location.get("href", ""))
        found.append(MetadataFile(data.get("type", ""), href, checksum.get("type", ""), checksum.text.strip()))
    return found


def safe_href(href: str) -> str:
    """A relative href that stays within the repository. Raises `OperationError` for any other."""
    path = posixpath.normpath(href)
    if not href or urlsplit(href).scheme or path.startswith(("/", "../")) or path == ".." or "\\" in href:
        raise OperationError("bad-repository", f"the repository names a file outside of itself: {href!r}")
    return href


class Feed:
    """One repository. Every call raises `FetchFailed` with the reason."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url if url.endswith("/") else f"{url}/"

    async def repomd(self) -> bytes:
        """The bytes of repomd.xml."""

        async def once() -> bytes:
            response = await self._client.get(urljoin(self._url, "repodata/repomd.xml"))
            _check(response)
            if len(response.content) > _MOST_REPOMD_BYTES:
                raise FetchFailed("repomd.xml is larger than any repository's")
            return response.content

        return await _patiently(once)

    async def metadata(self, entry: MetadataFile, target: Path) -> None:
        """Fetch one file of metadata into `target`, verified."""

        async def once() -> None:
            digest, size = hasher(entry.algorithm), 0
            async with self._client.stream("GET", urljoin(self._url, entry.href)) as response:
                _check(response)
                with target.open("wb") as file:
                    async for chunk in response.aiter_raw(CHUNK_BYTES):
                        digest.update(chunk)
                        file.write(chunk)
                        size += len(chunk)
                        if size > _MOST_METADATA_BYTES:
                            raise FetchFailed(f"{entry.href} is larger than {_MOST_METADATA_BYTES} bytes")
            if digest.hexdigest() != entry.checksum:
                raise _Again(f"{entry.href} has the checksum {digest.hexdigest()}, not {entry.checksum}")

        target.parent.mkdir(parents=True, exist_ok=True)
        await _patiently(once)

    async def package(self, package: Package, store: Store) -> None:
        """Fetch one package into the store, verified; goes on where an interrupted download ended."""
        partial = store.partial_path(package)
        partial.parent.mkdir(parents=True, exist_ok=True)
        await _patiently(lambda: self._download(package, partial))
        await asyncio.to_thread(store.adopt, package, partial)

    async def _download(self, package: Package, partial: Path) -> None:
        have = _size_so_far(package, partial)
        if have < package.size_bytes:
            headers = {"Range": f"bytes={have}-"} if have else {}
            async with self._client.stream("GET", urljoin(self._url, package.href), headers=headers) as response:
                if response.status_code == 416:
                    _forget(partial)
                    raise _Again(f"{package.href}: the server has no bytes from {have} on")
                _check(response)
                with partial.open("ab" if response.status_code == 206 else "wb") as file:
                    async for chunk in response.aiter_raw(CHUNK_BYTES):
                        file.write(chunk)
                        if file.tell() > package.size_bytes:
                            break
        await asyncio.to_thread(_verify, package, partial)


def _size_so_far(package: Package, partial: Path) -> int:
    size = partial.stat().st_size if partial.exists() else 0
    if size <= package.size_bytes:
        return size
    _forget(partial)
    return 0


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)


def _verify(package: Package, partial: Path) -> None:
    size = partial.stat().st_size
    if size < package.size_bytes:
        raise _Again(f"{package.href}: the connection ended after {size} of {package.size_bytes} bytes")
    digest = hasher(package.algorithm)
    with partial.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    if size > package.size_bytes or digest.hexdigest() != package.checksum:
        partial.unlink()
        raise _Again(f"{package.href} is not what the metadata says: its size or {package.algorithm} differs")


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status in (408, 429) or status >= 500:
        raise _Again(f"{response.url} was answered {status}")
    if status not in (200, 206):
        raise FetchFailed(f"{response.url} was answered {status}")


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    reason: Exception = FetchFailed("not tried")
    for number in range(_TRIES):
        if number:
            await asyncio.sleep(0.5 * 2**number)
        try:
            return await attempt()
        except (_Again, httpx.TransportError) as error:
            reason = error
    raise FetchFailed(str(reason) or type(reason).__name__) from reason
