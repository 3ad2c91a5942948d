"""Lists of mirrors: a metalink, or a text with a URL in each line. Read in an isolated process.

A metalink has the checksums of repomd.xml, so only the sender of the metalink must be trusted, not the mirrors.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final
from xml.etree import ElementTree

from msgspec import Struct

from pulp_operations.guarded_xml import UnusableXml, local_name, parse

_MOST_MIRRORS: Final = 50
_MOST_CHECKSUMS: Final = 1000
_DEEPEST: Final = 16
_MOST_CHARACTERS: Final = 2000
_FILE: Final = "repomd.xml"
_REPOMD: Final = "repodata/repomd.xml"
_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f]+", re.IGNORECASE)
_DIGEST: Final = re.compile(r"[0-9a-f]{32,128}")
_ALGORITHMS: Final = {"sha256": "sha256", "sha384": "sha384", "sha512": "sha512", "sha1": "sha1", "md5": "md5"}
"""The names of checksums, without the hyphens that RFC 5854 has in them."""


class Digest(Struct, frozen=True):
    """A checksum; `algorithm` is hashlib's name."""

    algorithm: str
    checksum: str


class MirrorList(Struct, frozen=True, kw_only=True):
    """The bases of the mirrors in order of preference, and what repomd.xml may be there.

    `current` are the checksums of the newest repomd.xml, each by another algorithm; `older` are those of earlier
    states, which a mirror may still have, each with all of its checksums. Both are empty if the list does not give
    them.
    """

    bases: list[str]
    current: list[Digest] = []
    older: list[list[Digest]] = []


class _Mirror(Struct, frozen=True):
    preference: int
    base: str


def read_list(content: bytes) -> MirrorList | None:
    """The mirrors that a document names; None if it is not a list of mirrors."""
    text = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    return _metalink(text) if text.startswith(b"<") else _mirrorlist(text)


def _mirrorlist(content: bytes) -> MirrorList | None:
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    found = [line for line in lines if _is_url(line)]
    others = [line for line in lines if not re.match(r"(ftp|rsync|file)://", line) and not _is_url(line)]
    if not found or others:
        return None
    bases = [line.removesuffix(_REPOMD) for line in found]
    return MirrorList(bases=list(dict.fromkeys(bases))[:_MOST_MIRRORS])


def _metalink(content: bytes) -> MirrorList | None:
    try:
        root = parse(content, deepest=_DEEPEST)
    except UnusableXml:
        return None
    if local_name(root) != "metalink":
        return None
    file = next((each for each in root.iter() if local_name(each) == "file" and each.get("name") == _FILE), None)
    if file is None:
        return None
    alternates = [each for each in file.iter() if local_name(each) == "alternate"]
    inner = {id(each) for alternate in alternates for each in alternate.iter()}
    digests = _digests(each for each in file.iter() if id(each) not in inner)
    older = [found for each in alternates[:_MOST_CHECKSUMS] if (found := _digests(each.iter()))]
    mirrors = sorted(_mirrors(file), key=lambda each: -each.preference)
    bases = list(dict.fromkeys(each.base for each in mirrors))[:_MOST_MIRRORS]
    return MirrorList(bases=bases, current=digests, older=older) if bases else None


def _digests(elements: Iterable[ElementTree.Element]) -> list[Digest]:
    found = []
    for each in elements:
        name = _ALGORITHMS.get(each.get("type", "").lower().replace("-", "")) if local_name(each) == "hash" else None
        digest = (each.text or "").strip().lower()
        if name is not None and _DIGEST.fullmatch(digest):
            found.append(Digest(name, digest))
    return found


def _mirrors(file: ElementTree.Element) -> Iterator[_Mirror]:
    for each in file.iter():
        text = (each.text or "").strip()
        if local_name(each) == "url" and _is_url(text) and text.endswith(_REPOMD):
            yield _Mirror(_preference(each), text.removesuffix(_REPOMD))


def _preference(url: ElementTree.Element) -> int:
    """`preference` of the first metalinks rises, `priority` of RFC 5854 falls."""
    for name, sign in (("preference", 1), ("priority", -1)):
        text = url.get(name, "")
        if re.fullmatch(r"[0-9]{1,9}", text):
            return sign * int(text)
    return -1_000_000_000


def _is_url(text: str) -> bool:
    return len(text) <= _MOST_CHARACTERS and _URL.fullmatch(text) is not None
