"""repomd.xml, the table of contents of a repository: read as dnf reads it."""

import re
from typing import Final, NamedTuple
from xml.etree import ElementTree

from pulp_worker import OperationError

from pulp_operations.foreign import bad_repository, is_ordinary
from pulp_operations.guarded_xml import LINE, UnusableXml, local_name, parse
from pulp_operations.reading.names import checked_base, checked_href, known_checksum
from pulp_operations.records import MetadataFile, Note, Repomd
from pulp_operations.settings import CHECKSUM_TYPES

_DEEPEST: Final = 32
_MOST_TAGS: Final = 100
_MOST_TAG_CHARACTERS: Final = 500
_MOST_ENTRIES: Final = 1000
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_REVISION: Final = re.compile(r"[A-Za-z0-9._:+ -]{1,100}")
_NEEDED: Final = frozenset(
    ("primary", "filelists", "other", "updateinfo", "modules", "group", "group_gz", "group_xz", "group_zst")
)
"""An entry of these types that cannot be used is an error: a client would miss it."""


def read_repomd(content: bytes, algorithms: frozenset[str] = CHECKSUM_TYPES) -> Repomd:
    """The contents of repomd.xml, with any namespace prefix or none. If a type has several entries, the first counts,
    as for dnf.

    `algorithms` are the allowed checksums, by hashlib's names. Raises `OperationError`: `bad-repository` for a document
    that is not a repomd.xml, has no primary metadata, or has an unusable entry of a needed type; `checksum-refused` if
    such an entry has another checksum. Any other unusable entry is noted.
    """
    root = _tree(content)
    if local_name(root) != "repomd":
        raise bad_repository("repomd.xml is not a table of contents of a yum repository")
    entries: dict[str, MetadataFile] = {}
    notes: list[Note] = []
    newest_s = 0
    for data in (child for child in root if local_name(child) == "data"):
        if len(entries) >= _MOST_ENTRIES:
            raise bad_repository(f"repomd.xml has over {_MOST_ENTRIES} entries")
        kind = data.get("type", "")
        if kind in entries:
            notes.append(_note(kind, "left out: another entry of this type stands before it", data))
            continue
        try:
            entries[kind] = _entry(kind, data, algorithms)
        except OperationError as error:
            if kind in _NEEDED:
                raise
            notes.append(_note(kind, f"left out: {error.description}", data))
            continue
        newest_s = max(newest_s, _number(data, "timestamp") or 0)
    if "primary" not in entries:
        raise bad_repository("repomd.xml names no primary metadata")
    revision = _text(root, "revision")
    if not _REVISION.fullmatch(revision):
        revision = ""
    return Repomd(revision=revision, entries=list(entries.values()), notes=notes, timestamp_s=newest_s)


class Tag(NamedTuple):
    """What repomd.xml says of the purpose of a repository. `kind` is content, repo or distro; a distro has a CPE id."""

    kind: str
    text: str
    cpeid: str | None = None


def read_tags(content: bytes) -> list[Tag]:
    """The tags of a repomd.xml that `read_repomd` reads. They are optional: long ones, and those over 100, are left."""
    tags = [
        Tag(local_name(child), (child.text or "").strip(), child.get("cpeid"))
        for group in _tree(content)
        if local_name(group) == "tags"
        for child in group
        if local_name(child) in ("content", "repo", "distro")
    ]
    return [tag for tag in tags if len(f"{tag.text}{tag.cpeid}") <= _MOST_TAG_CHARACTERS][:_MOST_TAGS]


def _entry(kind: str, data: ElementTree.Element, algorithms: frozenset[str]) -> MetadataFile:
    what, line = _named(kind), data.get(LINE)
    where = f"the entry of {what} in repomd.xml (line {line})"
    location, checksum = _only(data, "location", where), _only(data, "checksum", where)
    if location is None or checksum is None:
        raise bad_repository(f"{where} has no {'location' if location is None else 'checksum'}")
    algorithm, digest = known_checksum(checksum.get("type", ""), (checksum.text or "").strip(), where, algorithms)
    return MetadataFile(
        type=kind,
        href=checked_href(location.get("href", ""), where),
        base_url=checked_base(location.get("xml:base", ""), where),
        algorithm=algorithm,
        checksum=digest,
        size_bytes=_number(data, "size"),
        open_size_bytes=_number(data, "open-size"),
    )


def _note(kind: str, reason: str, data: ElementTree.Element) -> Note:
    return Note(what=_named(kind), reason=reason, line=int(data.get(LINE, "0")))


def _named(kind: str) -> str:
    return f"{kind} metadata" if is_ordinary(kind) else "metadata of an odd type"


def _only(data: ElementTree.Element, name: str, where: str) -> ElementTree.Element | None:
    found = [child for child in data if local_name(child) == name]
    if len(found) > 1:
        raise bad_repository(f"{where} has more than one {name}")
    return found[0] if found else None


def _text(parent: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in parent if local_name(child) == name), "").strip()


def _number(data: ElementTree.Element, name: str) -> int | None:
    text = _text(data, name).partition(".")[0]  # createrepo of 2010 wrote times with a fraction
    return int(text) if _NUMBER.fullmatch(text) else None


def _tree(content: bytes) -> ElementTree.Element:
    try:
        return parse(content, deepest=_DEEPEST)
    except UnusableXml as error:
        raise bad_repository(f"repomd.xml {error}") from None
