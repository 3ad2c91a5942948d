"""Reading repomd.xml, the table of contents of a yum repository, and what is allowed in it.

The reader of the metadata itself wants the files to be there: which ones to fetch only this table tells.
"""

import posixpath
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from pulp_worker import OperationError

_REPO: Final = "{http://linux.duke.edu/metadata/repo}"
_CHECKSUM: Final = re.compile(r"[0-9a-f]{32,128}")
ALGORITHMS: Final = {
    "md5": "md5",
    "sha": "sha1",  # as repositories of 2012 call it
    "sha1": "sha1",
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
}
"""The names that yum repositories give to checksums, and hashlib's names for them."""


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """An entry of repomd.xml. `size_bytes` is None where the repository does not tell it."""

    type: str
    href: str
    algorithm: str
    checksum: str
    size_bytes: int | None


def parse_repomd(content: bytes) -> list[MetadataFile]:
    """The entries of repomd.xml. Raises `OperationError` (`bad-repository`) for what is none, or not safe."""
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise bad_repository(f"repomd.xml is no XML: {error}") from error
    return [_entry(data) for data in root.iter(f"{_REPO}data")]


def _entry(data: ElementTree.Element) -> MetadataFile:
    location, checksum = data.find(f"{_REPO}location"), data.find(f"{_REPO}checksum")
    if location is None or checksum is None:
        raise bad_repository("repomd.xml has an entry without location or checksum")
    size = data.findtext(f"{_REPO}size", "").strip()
    algorithm, digest = known_checksum(checksum.get("type", ""), (checksum.text or "").strip())
    href = safe_href(location.get("href", ""))
    return MetadataFile(data.get("type", ""), href, algorithm, digest, int(size) if size.isdecimal() else None)


def safe_href(href: str) -> str:
    """The relative href of a file within the repository. Raises `OperationError` for any other."""
    decoded = unquote(href)
    path = posixpath.normpath(decoded)
    is_outside = path.startswith(("/", "../")) or path in ("..", ".") or bool(urlsplit(href).scheme)
    if is_outside or decoded.endswith("/") or "\\" in decoded or not decoded.isprintable():
        raise bad_repository(f"the repository names no file of its own: {href!r}")
    return href


def known_checksum(algorithm: str, digest: str) -> tuple[str, str]:
    """Algorithm by hashlib's name, and the checksum in small letters; both are safe in a file name.

    Raises `OperationError` (`bad-repository`) for what is none.
    """
    known = ALGORITHMS.get(algorithm.lower())
    if known is None:
        raise bad_repository(f"unknown checksum type {algorithm!r}")
    if not _CHECKSUM.fullmatch(digest.lower()):
        raise bad_repository(f"{digest!r} is no checksum")
    return known, digest.lower()


def bad_repository(reason: str) -> OperationError:
    """The error that says that the repository is none, or not safe."""
    return OperationError("bad-repository", reason)
