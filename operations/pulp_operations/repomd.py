"""repomd.xml, the table of contents of a yum repository: read strictly, and written anew.

The reader of the metadata itself opens the files that its own reading of repomd.xml names. It therefore never gets the
one of a repository, but one that was written here, from what was read and checked here.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from pulp_worker import OperationError

_NAMESPACE: Final = "http://linux.duke.edu/metadata/repo"
_REPO: Final = f"{{{_NAMESPACE}}}"
_CHECKSUM: Final = re.compile(r"[0-9a-f]{32,128}")
_SIZE: Final = re.compile(r"[0-9]{1,18}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._+~^%/-]{1,200}")
_DEEPEST: Final = 32
_MOST_SEGMENT_BYTES: Final = 255
_MOST_HREF_BYTES: Final = 2000
WANTED: Final = ("primary", "filelists", "other", "updateinfo", "group", "group_gz", "group_xz", "group_zst")
"""The types of metadata that are fetched."""
_NEEDED: Final = ("primary", "filelists", "other")
_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst")
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

    @property
    def own_href(self) -> str:
        """Where the file is kept here: the repository's own name for it does not decide that."""
        suffix = posixpath.splitext(self.href)[1]
        return f"repodata/{self.type}.xml{suffix if suffix in _SUFFIXES else ''}"


def parse_repomd(content: bytes) -> list[MetadataFile]:
    """The wanted entries of repomd.xml. Raises `OperationError` (`bad-repository`) for what is none, or not safe."""
    root = _tree(content)
    if root.tag != f"{_REPO}repomd":
        raise bad_repository("repomd.xml is no table of contents of a yum repository")
    entries = [_entry(data) for data in root.findall(f"{_REPO}data") if data.get("type") in WANTED]
    types = [entry.type for entry in entries]
    for kind in WANTED:
        if types.count(kind) > 1:
            raise bad_repository(f"repomd.xml names {kind} metadata twice")
        if kind in _NEEDED and kind not in types:
            raise bad_repository(f"repomd.xml names no {kind} metadata")
    return entries


def written_repomd(entries: Iterable[MetadataFile]) -> bytes:
    """A repomd.xml that names these files where they are kept here."""
    data = "".join(
        f'<data type="{entry.type}"><checksum type="{entry.algorithm}">{entry.checksum}</checksum>'
        f"<location href={quoteattr(entry.own_href)}/><timestamp>0</timestamp>"
        f"{'' if entry.size_bytes is None else f'<size>{entry.size_bytes}</size>'}</data>"
        for entry in entries
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="{_NAMESPACE}"><revision>0</revision>{data}</repomd>'
    return text.encode()


def safe_href(href: str) -> str:
    """The relative href of a file within the repository. Raises `OperationError` for any other."""
    decoded = unquote(href)
    path = posixpath.normpath(decoded)
    try:
        has_scheme = bool(urlsplit(href).scheme or urlsplit(href).netloc)
    except ValueError:
        has_scheme = True
    is_outside = path.startswith(("/", "../")) or path in ("..", ".") or has_scheme
    is_odd = decoded.endswith("/") or "\\" in decoded or not decoded.isprintable() or not href.isprintable()
    if is_outside or is_odd or _is_long(href):
        raise bad_repository("the repository names a file that is not its own, or whose name cannot be used")
    return href


def is_ordinary(href: str) -> bool:
    """Whether it may be told: an href as repositories have them, and not any text."""
    return bool(_PLAIN.fullmatch(href))


def shown_href(href: str, checksum: str) -> str:
    """A package in a message: its href where that is an ordinary one, else its checksum."""
    return href if is_ordinary(href) else f"the package with checksum {checksum}"


def known_checksum(algorithm: str, digest: str) -> tuple[str, str]:
    """Algorithm by hashlib's name, and the checksum in small letters; both are safe in a file name.

    Raises `OperationError` (`bad-repository`) for what is none.
    """
    known = ALGORITHMS.get(algorithm.lower())
    if known is None:
        raise bad_repository(f"a type of checksum is none of {', '.join(ALGORITHMS)}")
    if not _CHECKSUM.fullmatch(digest.lower()):
        raise bad_repository("a checksum is none: 32 to 128 hexadecimal digits are expected")
    return known, digest.lower()


def bad_repository(reason: str) -> OperationError:
    """The error that says that the repository is none, or not safe. `reason` has no text of the repository."""
    return OperationError("bad-repository", reason)


def _entry(data: ElementTree.Element) -> MetadataFile:
    location, checksum = _only(data, "location"), _only(data, "checksum")
    if location is None or checksum is None:
        raise bad_repository("repomd.xml has an entry without location or checksum")
    size = _only(data, "size")
    size_text = "" if size is None else (size.text or "").strip()
    algorithm, digest = known_checksum(checksum.get("type", ""), (checksum.text or "").strip())
    href = safe_href(location.get("href", ""))
    size_bytes = int(size_text) if _SIZE.fullmatch(size_text) else None
    return MetadataFile(data.get("type", ""), href, algorithm, digest, size_bytes)


def _only(data: ElementTree.Element, name: str) -> ElementTree.Element | None:
    found = data.findall(f"{_REPO}{name}")
    if len(found) > 1:
        raise bad_repository(f"repomd.xml has an entry with more than one {name}")
    return found[0] if found else None


def _is_long(href: str) -> bool:
    encoded = href.encode(errors="replace")
    return len(encoded) > _MOST_HREF_BYTES or any(len(each) > _MOST_SEGMENT_BYTES for each in encoded.split(b"/"))


def _tree(content: bytes) -> ElementTree.Element:
    """The document, which has no DTD: so no entity is expanded, and nothing outside of it is read."""
    builder, depth = ElementTree.TreeBuilder(), 0

    def refuse(*_: object) -> None:
        raise bad_repository("repomd.xml has a document type declaration, which is refused")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise bad_repository(f"repomd.xml is nested more than {_DEEPEST} elements deep")
        builder.start(_qualified(name), {_qualified(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_qualified(name))

    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise bad_repository(f"repomd.xml is no XML: line {error.lineno}, column {error.offset}") from None
    except (LookupError, ValueError):  # an encoding that Python does not have, or that has no such bytes
        raise bad_repository("repomd.xml is no XML: its encoding is unknown") from None
    return builder.close()


def _qualified(name: str) -> str:
    return f"{{{name}" if "}" in name else name
