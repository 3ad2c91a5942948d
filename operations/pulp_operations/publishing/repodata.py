"""Writing the repodata of a publication from a version, in a separate process, because its texts come from a feed."""

import shutil
import sys
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from pulp_operations.publishing.carrying import Carrier
from pulp_operations.publishing.errors import damaged_version
from pulp_operations.publishing.packing import REPODATA, Entry, opened, pack
from pulp_operations.publishing.repomd_file import repomd_of
from pulp_operations.publishing.selecting import PackageSelection
from pulp_operations.reading.table import Tag, read_tags
from pulp_operations.records import Note, VersionRecord
from pulp_operations.versions import METADATA, RECEIVED

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK_BYTES: Final = 1 << 20
_PACKAGES: Final = ("primary", "filelists", "other")


class Regenerating(Struct, frozen=True, kw_only=True):
    """How repodata is written. `names` are the lines of a list of package names; None: all packages."""

    compression: Literal["gzip", "zstd"]
    names: list[str] | None
    most_bytes: int
    most_ratio: int


class WrittenMetadata(Struct, frozen=True, kw_only=True):
    """The written files. `chosen` are the checksums of the packages if a list of names was given."""

    packages: int
    entries: list[Entry]
    chosen: list[str] | None
    notes: list[Note]


def write_repodata(version: VersionRecord, source: str, target: str, options: Regenerating) -> WrittenMetadata:
    """Write target/repodata from the folder of a version.

    Raises `OperationError`: `unknown-packages` as `chosen_packages` does, `damaged-version` if a file of the version
    has changed.
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
    except (zstd.ZstdError, EOFError, FileNotFoundError):
        raise damaged_version("its metadata cannot be read") from None
    carrier = Carrier(received, publication, options.compression, options.most_bytes, options.most_ratio)
    carried = carrier.carry_all(version.entries)
    content = repomd_of(version, _tags(received), entries + carried.entries)
    (publication / REPODATA / "repomd.xml").write_bytes(content)
    return WrittenMetadata(packages=packages, entries=entries + carried.entries, chosen=chosen, notes=carried.notes)


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
        selection = PackageSelection(folder, work)
        chosen = selection.chosen(names)
        return chosen, selection.write(publication, chosen, options.compression)
    finally:
        shutil.rmtree(work)
