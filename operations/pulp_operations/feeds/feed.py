"""One feed: a folder with a repodata/, a list of mirrors, or a metalink."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from pulp_worker import Context
from pulp_worker.fetching import FetchFailed, ServerDown, patiently

from pulp_operations.feeds.growing import Growing
from pulp_operations.feeds.received import ABSENT, UNCHANGED, Differs, FeedDown, Fetched, Signature, Treeinfo, Unchanged
from pulp_operations.feeds.receiving import receive
from pulp_operations.feeds.sources import FeedSources
from pulp_operations.feeds.urls import base_of, places
from pulp_operations.foreign import is_ordinary
from pulp_operations.records import MetadataFile, Package, StoredFile, TreeFile, Validators

if TYPE_CHECKING:
    from pulp_worker.fetching.fetcher import Fetcher

_MOST_METADATA_BYTES: Final = 2 * 1024 * 1024 * 1024
_MOST_SIGNATURE_BYTES: Final = 1024 * 1024
_MOST_TREEINFO_BYTES: Final = 1024 * 1024
_MOST_TREE_FILE_BYTES: Final = 64 * 1024 * 1024 * 1024
_ASKED_EACH_TIME: Final = 20
_ASKED_EVERY_S: Final = 5.0
_TREEINFOS: Final = (".treeinfo", "treeinfo")


class Feed:
    """Every call raises `FetchFailed` with the reason, `FeedDown` if no server answers any more, `FetchRefused` if the
    worker's rules forbid it, and `LimitExceeded`. None of these repeats unusual text from the feed.

    After the first `repomd`, calls may run concurrently. Temporary failures are retried, also at other mirrors if there
    are any.
    """

    def __init__(self, context: Context[Any], fetcher: "Fetcher", url: str) -> None:
        """Sends no request yet. `context` reads lists of mirrors, in a separate process."""
        self._context, self._fetcher, self._url = context, fetcher, url
        self._own = base_of(url).partition("?")[0]
        self._sources = FeedSources(context, fetcher, url)
        self._validators, self._checksum = Validators(), ""
        self._asking = asyncio.Lock()
        self._times_asked, self._asked_s = 0, 0.0
        self._partials: dict[Path, frozenset[str]] = {}

    async def repomd(self, validators: Validators | None = None, checksum: str = "") -> Fetched | Unchanged:
        """repomd.xml; `UNCHANGED` if it still has the given validators and sha256."""
        received = await self._sources.repomd(validators, checksum)
        if isinstance(received, Fetched):
            self._validators, self._checksum = received.validators, hashlib.sha256(received.content).hexdigest()
        else:
            self._validators, self._checksum = validators or Validators(), checksum
        return received

    async def changed(self) -> bool:
        """Whether repomd.xml differs from the one that `repomd` returned: then a missing or different file is not a
        fault.

        The first calls ask the feed each time; frequent calls ask it every few seconds.
        """
        async with self._asking:
            now_s = time.monotonic()
            self._times_asked += 1
            if self._times_asked > _ASKED_EACH_TIME and now_s < self._asked_s + _ASKED_EVERY_S:
                return False
            self._asked_s = now_s
            sources = FeedSources(self._context, self._fetcher, self._url)
            try:
                received = await sources.repomd(self._validators, self._checksum)
            except FetchFailed:
                return False
            return received is not UNCHANGED

    async def signature(self) -> Signature:
        """The signature of repomd.xml, and the key next to it."""
        asc = await self._optional("repodata/repomd.xml.asc", _MOST_SIGNATURE_BYTES)
        key = None if asc is None else await self._optional("repodata/repomd.xml.key", _MOST_SIGNATURE_BYTES)
        return Signature(asc, key)

    async def treeinfo(self) -> Treeinfo | None:
        """The description of the installable tree; None if the feed has none."""
        for name in _TREEINFOS:
            content = await self._optional(name, _MOST_TREEINFO_BYTES)
            if content is not None:
                return Treeinfo(name, content)
        return None

    async def metadata(self, entry: MetadataFile, target: Path) -> None:
        """Fetch a file of metadata into `target`, and verify its size and checksum. May also raise `Differs`."""
        growing = Growing(
            target,
            called=f"{entry.type if is_ordinary(entry.type) else 'other'} metadata",
            size_bytes=entry.size_bytes,
            algorithm=entry.algorithm,
            checksum=entry.checksum,
            is_durable=False,
            described_in="repomd.xml",
        )
        most_bytes = min(entry.size_bytes or _MOST_METADATA_BYTES, _MOST_METADATA_BYTES)
        await self._fetch(growing, entry.href, entry.base_url, most_bytes, lambda _: None)

    async def package(self, package: Package, partial: Path, keep: Callable[[Path], None]) -> None:
        """Fetch a package into `partial`, continuing an interrupted download.

        `keep` is called once, in a thread, with the complete, verified file on the disk, and moves it away. Also raises
        `Differs`.
        """
        growing = Growing(
            partial,
            called=package.href if is_ordinary(package.href) else f"the package with checksum {package.checksum}",
            size_bytes=package.size_bytes,
            algorithm=package.algorithm,
            checksum=package.checksum,
        )
        await self._resume(growing, partial)
        await self._fetch(growing, package.href, package.base_url, package.size_bytes, keep)

    async def tree_file(self, file: TreeFile, partial: Path, keep: Callable[[StoredFile, Path], None]) -> StoredFile:
        """Fetch a file of the tree as `package` does. One without a checksum gets its sha256."""
        growing = Growing(
            partial,
            called=file.path if is_ordinary(file.path) else "a file of the tree",
            size_bytes=file.size_bytes,
            algorithm=file.algorithm,
            checksum=file.checksum,
        )

        def stored() -> StoredFile:
            made = growing.hexdigest, growing.have_bytes
            return StoredFile(path=file.path, algorithm=growing.algorithm, checksum=made[0], size_bytes=made[1])

        if file.checksum is not None:  # without it, parts of two states could be joined
            await self._resume(growing, partial)
        most_bytes = _MOST_TREE_FILE_BYTES if file.size_bytes is None else file.size_bytes
        await self._fetch(growing, file.path, "", most_bytes, lambda path: keep(stored(), path))
        return stored()

    async def _fetch(
        self, growing: Growing, href: str, base_url: str, most_bytes: int, keep: Callable[[Path], None]
    ) -> None:
        async def once(url: str, *, is_fresh: bool) -> None:
            if growing.is_short:
                called = None if self._may_be_told(url) else growing.called
                await receive(self._fetcher, url, growing, called=called, most_bytes=most_bytes, is_fresh=is_fresh)
            await growing.finish(keep)

        async def attempt(url: str) -> None:
            try:
                await once(url, is_fresh=False)
            except Differs:  # it changed since a part was fetched, or a cache served an old state
                await once(url, is_fresh=True)

        urls = [url for base in self._sources.bases for url in places(base, href, base_url)]
        try:
            await self._fetcher.patience.first_of(urls, attempt, progress=lambda: growing.have_bytes)
        except ServerDown as error:
            if base_url or "://" in href:
                raise
            raise FeedDown(str(error)) from None
        finally:
            growing.close()

    def _may_be_told(self, url: str) -> bool:
        """Whether the URL is safe to show: the part that the feed adds to its own URL is ordinary text."""
        return is_ordinary(unquote(url.partition("?")[0].removeprefix(self._own)))

    async def _optional(self, href: str, most_bytes: int) -> bytes | None:
        """An optional file, from the base that served repomd.xml."""

        async def read(url: str) -> bytes:
            return await self._fetcher.read(url, most_bytes=most_bytes)

        try:
            return await self._fetcher.patience.first_of(places(self._sources.bases[0], href), read)
        except FetchFailed as error:
            if error.status in ABSENT:
                return None
            raise

    async def _resume(self, growing: Growing, partial: Path) -> None:
        """Lists interrupted downloads once, instead of looking for each file."""
        folder = partial.parent
        if folder not in self._partials:
            self._partials[folder] = frozenset(await asyncio.to_thread(_names, folder))
        if partial.name in self._partials[folder]:
            await patiently(growing.resume)  # a task that counts as lost may still write it


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
