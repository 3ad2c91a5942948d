"""Writing the repomd.xml of a publication."""

from collections.abc import Iterable, Iterator
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from pulp_operations.publishing.packing import Entry
from pulp_operations.reading.table import Tag
from pulp_operations.records import VersionRecord

_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">\n'
)
_ORDER: Final = ("primary", "filelists", "other", "group", "group_gz", "group_zst", "updateinfo", "modules")


def repomd_of(version: VersionRecord, tags: Iterable[Tag], entries: Iterable[Entry]) -> bytes:
    """A repomd.xml that names these files. Its times and revision are the version's, so it depends on nothing else."""
    lines = [f"  <revision>{escape(version.revision or str(version.timestamp_s))}</revision>", *_tags(tags)]
    for entry in sorted(entries, key=_place):
        lines += _data(entry, version.timestamp_s)
    return (_HEAD + "\n".join(lines) + "\n</repomd>\n").encode()


def _place(entry: Entry) -> tuple[int, str]:
    return (_ORDER.index(entry.type) if entry.type in _ORDER else len(_ORDER), entry.type)


def _tags(tags: Iterable[Tag]) -> Iterator[str]:
    written = []
    for tag in tags:
        cpeid = "" if tag.cpeid is None else f" cpeid={quoteattr(tag.cpeid)}"
        written.append(f"    <{tag.kind}{cpeid}>{escape(tag.text)}</{tag.kind}>")
    if written:
        yield from ("  <tags>", *written, "  </tags>")


def _data(entry: Entry, timestamp_s: int) -> Iterator[str]:
    yield f"  <data type={quoteattr(entry.type)}>"
    yield f'    <checksum type="{entry.algorithm}">{entry.checksum}</checksum>'
    if entry.open_checksum is not None:
        yield f'    <open-checksum type="{entry.algorithm}">{entry.open_checksum}</open-checksum>'
    yield f"    <location href={quoteattr(entry.href)}/>"
    yield f"    <timestamp>{timestamp_s}</timestamp>"
    yield f"    <size>{entry.size_bytes}</size>"
    if entry.open_size_bytes is not None:
        yield f"    <open-size>{entry.open_size_bytes}</open-size>"
    yield "  </data>"
