"""The places of a feed's repomd.xml: its own folder, or the mirrors of a list."""

import hashlib
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pulp_worker import Context
from pulp_worker.fetching import FetchFailed, FetchRefused

from pulp_operations.feeds.lists import Digest, MirrorList, read_list
from pulp_operations.feeds.received import UNCHANGED, Fetched, Unchanged
from pulp_operations.feeds.urls import base_of, places
from pulp_operations.foreign import is_ordinary
from pulp_operations.records import Validators

if TYPE_CHECKING:
    from pulp_worker.fetching.answers import Answer
    from pulp_worker.fetching.fetcher import Fetcher

_REPOMD: Final = "repodata/repomd.xml"
_MOST_REPOMD_BYTES: Final = 10 * 1024 * 1024
_MOST_LIST_BYTES: Final = 4 * 1024 * 1024
_LIST_NAME: Final = re.compile(r"mirror[._-]?list|metalink|\.meta4$|mirrors?\.txt$", re.IGNORECASE)
_NOT_MODIFIED: Final = 304
_FRESH_MIRRORS: Final = 5
"""How many mirrors are tried for the newest state before an older one that the metalink lists is accepted."""
_STRENGTH: Final = ("sha512", "sha384", "sha256", "sha1", "md5")
_MOST_HEADER_CHARACTERS: Final = 1000


class FeedSources:
    """The bases of a feed. After `repomd`, `bases` are known, and the first of them has served repomd.xml."""

    def __init__(self, context: Context[Any], fetcher: "Fetcher", url: str) -> None:
        self._context, self._fetcher, self._url = context, fetcher, url
        self.bases = [base_of(url)]

    async def repomd(self, validators: Validators | None, checksum: str) -> Fetched | Unchanged:
        """repomd.xml, or `UNCHANGED`; see `Feed.repomd`."""
        self._fetcher.check_credential(self._url)
        if _looks_like_a_list(self._url):
            found = await self._list()
            if found is not None:
                return await self._of_mirrors(found, checksum)
        try:
            received = await self._of_folder(validators, checksum)
        except FetchFailed as error:
            found = await self._list() if error.status is not None and not error.is_transient else None
            if found is None:
                raise
            return await self._of_mirrors(found, checksum)
        return received

    async def _list(self) -> MirrorList | None:
        """The mirrors that the feed's own URL lists; None if it is not a list."""

        async def read(url: str) -> bytes:
            return await self._fetcher.read(url, most_bytes=_MOST_LIST_BYTES)

        try:
            content = await self._fetcher.patience.first_of([self._url], read)
        except FetchRefused:
            raise
        except FetchFailed as error:
            if error.status is None or error.is_transient:
                raise
            return None
        found: MirrorList | None = await self._context.isolated(
            read_list, content, returns=MirrorList | None, what="reading the list of mirrors"
        )
        return found

    async def _of_folder(self, validators: Validators | None, checksum: str) -> Fetched | Unchanged:
        headers = _conditions(validators or Validators())

        async def read(url: str) -> Fetched | Unchanged:
            async with self._fetcher.get(url, headers=headers, most_bytes=_MOST_REPOMD_BYTES) as answer:
                if answer.status == _NOT_MODIFIED:
                    return UNCHANGED
                content = await answer.whole()
                is_known = hashlib.sha256(content).hexdigest() == checksum
                return UNCHANGED if is_known else Fetched(content, _validators(answer))

        return await self._fetcher.patience.first_of(places(self.bases[0], _REPOMD), read)

    async def _of_mirrors(self, found: MirrorList, checksum: str) -> Fetched | Unchanged:
        if checksum and Digest("sha256", checksum) in found.current:
            return UNCHANGED
        bases = {places(base_of(base), _REPOMD)[0]: base_of(base) for base in found.bases}
        wanted = [found.current] if found.current else []
        try:
            received = await self._of_mirror(list(bases)[:_FRESH_MIRRORS], wanted)
        except FetchFailed:
            received = await self._of_mirror(list(bases), [*wanted, *found.older])
        url, content = received
        self.bases = [bases[url], *(base for base in bases.values() if base != bases[url])]
        is_known = hashlib.sha256(content).hexdigest() == checksum
        return UNCHANGED if is_known else Fetched(content, Validators())

    async def _of_mirror(self, urls: list[str], wanted: list[list[Digest]]) -> tuple[str, bytes]:
        async def read(url: str) -> tuple[str, bytes]:
            called = None if is_ordinary(url) else "repomd.xml of a mirror"
            async with self._fetcher.get(url, most_bytes=_MOST_REPOMD_BYTES, called=called) as answer:
                content = await answer.whole()
            if wanted and not any(_is(content, digests) for digests in wanted):
                raise FetchFailed(
                    "no mirror has a repomd.xml that the metalink names: the one there is damaged, or from another time"
                )
            return url, content

        return await self._fetcher.patience.first_of(urls, read)


def _looks_like_a_list(url: str) -> bool:
    parts = urlsplit(url)
    return bool(_LIST_NAME.search(f"{parts.hostname}{parts.path}"))


def _is(content: bytes, digests: list[Digest]) -> bool:
    """Compares by the strongest of the checksums."""
    strongest = min(digests, key=lambda digest: _STRENGTH.index(digest.algorithm))
    return hashlib.new(strongest.algorithm, content, usedforsecurity=False).hexdigest() == strongest.checksum


def _conditions(validators: Validators) -> dict[str, str]:
    given = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in given.items() if value}


def _validators(answer: "Answer") -> Validators:
    last_modified = _sent(answer, "Last-Modified")
    is_certain = last_modified is not None and _is_earlier(last_modified, _sent(answer, "Date"))
    return Validators(etag=_sent(answer, "ETag"), last_modified=last_modified if is_certain else None)


def _is_earlier(last_modified: str, date: str | None) -> bool:
    """Whether a file's time identifies its state: it may change again within the second (RFC 9110, 8.8.2.2)."""
    try:
        return date is not None and parsedate_to_datetime(last_modified) < parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return False


def _sent(answer: "Answer", name: str) -> str | None:
    """A header's value, if it can be sent back as a validator."""
    text = answer.header(name) or ""
    return text if text and text.isascii() and text.isprintable() and len(text) <= _MOST_HEADER_CHARACTERS else None
