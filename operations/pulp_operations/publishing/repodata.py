"""Writing the repodata of a publication from a version, in a process of its own: the texts in it are a feed's."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from pulp_worker import LimitExceeded, OperationError

from pulp_operations.layout import checksum_of
from pulp_operations.publishing.errors import damaged_version
from pulp_operations.publishing.packing import REPODATA, Entry, opened, pack
from pulp_operations.publishing.placing import link_into
from pulp_operations.publishing.repomd_file import repomd_of
from pulp_operations.publishing.selecting import Selection
from pulp_operations.reading.table import Tag, read_tags
from pulp_operations.records import MetadataFile, Note, Version
from pulp_operations.unpacking import unpack
from pulp_operations.versions import METADATA, RECEIVED, packages_in

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK_BYTES: Final = 1 << 20
_PACKAGES: Final = ("primary", "filelists", "other")
_COMPS: Final = ("group", "group_gz", "group_xz", "group_zst", "group_bz2")
"""The forms of one document: the first that the feed has is published, plain and packed."""
DELTAS: Final = ("prestodelta", "deltainfo")
_DATABASE: Final = re.compile(r"(primary|filelists|other|updateinfo|group|prestodelta|deltainfo)_db")


class Regenerating(Struct, frozen=True, kw_only=True):
    """How repodata is written. `names` are the lines of a list of package names; None: all packages."""

    compression: Literal["gzip", "zstd"]
    names: list[str] | None
    most_bytes: int
    most_ratio: int


class Written(Struct, frozen=True, kw_only=True):
    """What was written. `chosen` are the checksums of the packages where a list of names was given."""

    packages: int
    entries: list[Entry]
    chosen: list[str] | None
    notes: list[Note]


def write_repodata(version: Version, source: str, target: str, options: Regenerating) -> Written:
    """Write target/repodata from the folder of a version.

    Raises `OperationError`: `unknown-packages` as `chosen_packages` does, `damaged-version` where a file of the version
    is not what it was.
    """
    folder, publication = Path(source), Path(target)
    metadata, received = folder / METADATA, folder / RECEIVED
    chosen, packages = None, version.counts.packages
    try:
        if options.names is None:
            entries = [_repacked(metadata, kind, publication, options) for kind in _PACKAGES]
        else:
            chosen, entries = _some_packages(folder, publication, options.names, options)
            packages = len(chosen)
        if (metadata / "updateinfo.xml.zst").exists():
            entries.append(_repacked(metadata, "updateinfo", publication, options))
        entries += _comps(version, received, publication, options)
    except (zstd.ZstdError, EOFError, FileNotFoundError):
        raise damaged_version("its metadata cannot be read") from None
    carried, notes = _carried(version, received, publication, options)
    content = repomd_of(version, _tags(received), entries + carried)
    (publication / REPODATA / "repomd.xml").write_bytes(content)
    return Written(packages=packages, entries=entries + carried, chosen=chosen, notes=notes)


def _tags(received: Path) -> list[Tag]:
    path = received / "repomd.xml"
    return read_tags(path.read_bytes()) if path.exists() else []


def _repacked(metadata: Path, kind: str, publication: Path, options: Regenerating) -> Entry:
    pieces = opened(metadata / f"{kind}.xml.zst")
    return pack(pieces, publication, type=kind, name=f"{kind}.xml", compression=options.compression)


def _some_packages(
    folder: Path, publication: Path, names: list[str], options: Regenerating
) -> tuple[list[str], list[Entry]]:
    work = publication / "unpacked"
    work.mkdir()
    try:
        selection = Selection(folder / METADATA, list(packages_in(folder)), work)
        chosen = selection.chosen(names)
        return chosen, selection.write(publication, chosen, options.compression)
    finally:
        shutil.rmtree(work)


def _comps(version: Version, received: Path, publication: Path, options: Regenerating) -> list[Entry]:
    """Plain and packed, since some clients know only the one and some prefer the other."""
    held = {entry.type: entry for entry in version.entries}
    entry = next((held[kind] for kind in _COMPS if kind in held), None)
    if entry is None:
        return []
    plain = publication / "comps.plain"
    unpack(
        _intact(received, entry),
        plain,
        what="group metadata",
        most_bytes=options.most_bytes,
        most_ratio=options.most_ratio,
    )
    packed = "group_gz" if options.compression == "gzip" else "group_zst"
    try:
        return [
            pack(_pieces(plain), publication, type="group", name="comps.xml", compression="none"),
            pack(_pieces(plain), publication, type=packed, name="comps.xml", compression=options.compression),
        ]
    finally:
        plain.unlink()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            yield piece


def _carried(
    version: Version, received: Path, publication: Path, options: Regenerating
) -> tuple[list[Entry], list[Note]]:
    """Everything else that was received goes into the publication byte for byte, but for what would be wrong there."""
    entries, notes = [], []
    for entry in version.entries:
        if entry.type in (*_PACKAGES, *_COMPS, "updateinfo"):
            continue
        reason = left_out(entry.type)
        if reason is not None:
            notes.append(Note(what=f"{entry.shown_type} metadata", reason=reason))
        else:
            entries.append(_carry(received, entry, publication, options))
    return entries, notes


def left_out(kind: str) -> str | None:
    """Why metadata of this type is not part of publications with metadata of our own; None if it is."""
    if kind in DELTAS:
        return "left out, since delta packages are not mirrored: clients fetch whole packages"
    if _DATABASE.fullmatch(kind) or kind.endswith("_zck"):
        return "left out, since it repeats other metadata in a form that clients can do without"
    return None


def _carry(received: Path, entry: MetadataFile, publication: Path, options: Regenerating) -> Entry:
    source = _intact(received, entry)
    checksum, size_bytes = checksum_of(source, "sha256"), source.stat().st_size
    name = f"{checksum}-{entry.own_name.replace(f'-{entry.checksum}', '', 1)}"
    target = publication / REPODATA / name
    if not target.exists():  # two types may name the same file
        link_into(source, target)
    opened = _open_checksum(source, publication / "opened.plain", options)
    is_packed = opened is not None and opened != (checksum, size_bytes)
    return Entry(
        type=entry.type,
        href=f"{REPODATA}/{name}",
        checksum=checksum,
        size_bytes=size_bytes,
        open_checksum=opened[0] if opened is not None and is_packed else None,
        open_size_bytes=opened[1] if opened is not None and is_packed else None,
    )


def _open_checksum(source: Path, plain: Path, options: Regenerating) -> tuple[str, int] | None:
    """Checksum and size of what is packed in the file; None where it is in no known way."""
    try:
        unpack(source, plain, what="metadata", most_bytes=options.most_bytes, most_ratio=options.most_ratio)
        return checksum_of(plain, "sha256"), plain.stat().st_size
    except (OperationError, LimitExceeded):
        return None
    finally:
        plain.unlink(missing_ok=True)


def _intact(received: Path, entry: MetadataFile) -> Path:
    path = received / entry.own_name
    try:
        if checksum_of(path, entry.algorithm) == entry.checksum:
            return path
    except FileNotFoundError:
        raise damaged_version(f"its {entry.shown_type} metadata is not there") from None
    raise damaged_version(f"its {entry.shown_type} metadata is not what the feed gave")
