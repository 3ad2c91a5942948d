"""Reading and writing metadata: what runs in isolated processes, since it reads documents of others.

Nothing of these documents is in an error: where they come from may be somewhere that the submitter cannot see.
"""

import posixpath
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct
from pulp_worker import LimitExceeded, OperationError
from rpmrepo_metadata import MetadataError, RepositoryReader, RepositoryWriter

from pulp_operations.reading.normalising import Normalised, Normalising, normalise
from pulp_operations.reading.sources import UnpackLimits
from pulp_operations.reading.table import read_repomd
from pulp_operations.reading.trees import read_treeinfo
from pulp_operations.repomd import bad_repository, known_checksum, parse_repomd, safe_href, written_repomd
from pulp_operations.store import Package
from pulp_operations.unpacking import unpack

__all__ = [
    "Counts",
    "Normalised",
    "Normalising",
    "UnpackLimits",
    "normalise",
    "read_counts",
    "read_packages",
    "read_repomd",
    "read_treeinfo",
    "unpacked",
    "write_metadata",
]
MOST_PACKAGES: Final = 250_000
"""Their list is held by the worker: some 100 MiB."""
_PACKAGES: Final = "the metadata of the packages cannot be read: it is no metadata of a yum repository, or damaged"
_EXTRAS: Final = "the package groups or errata cannot be read: they are none of a yum repository, or damaged"
_MOST_SIZE_BYTES: Final = 1 << 50


class Counts(Struct, frozen=True):
    """What a repository has beside packages."""

    errata: int
    package_groups: int


def unpacked(source: str, target: str, limits: UnpackLimits) -> None:
    """Unpack the metadata of `source`, as its repomd.xml names it, and write a repomd.xml for what was unpacked."""
    folder, plain = Path(source), Path(target)
    entries = parse_repomd((folder / "repodata" / "repomd.xml").read_bytes())
    (plain / "repodata").mkdir(parents=True)
    made = []
    for entry in entries:
        own = replace(entry, href=f"{entry.type}.xml")
        path, what = plain / own.own_href, f"{entry.type} metadata"
        unpack(folder / entry.href, path, what=what, most_bytes=limits.most_bytes, most_ratio=limits.most_ratio)
        made.append(replace(own, size_bytes=path.stat().st_size))
    (plain / "repodata" / "repomd.xml").write_bytes(written_repomd(made))


def read_packages(folder: str) -> list[Package]:
    """The packages that unpacked metadata names."""
    return list(_packages(Path(folder)))


def _packages(folder: Path) -> Iterator[Package]:
    try:
        for count, found in enumerate(RepositoryReader(str(folder)).iter_packages()):
            if count >= MOST_PACKAGES:
                raise LimitExceeded(f"the repository has over {MOST_PACKAGES} packages")
            algorithm, checksum = known_checksum(*found.checksum)
            if not 0 < found.size_package < _MOST_SIZE_BYTES:
                raise bad_repository("a package has no size, or one that no file has")
            yield Package(safe_href(found.location_href), algorithm, checksum, found.size_package, _base_url(found))
    except MetadataError:
        raise bad_repository(_PACKAGES) from None


def _base_url(found: object) -> str:
    base_url = str(getattr(found, "location_base", None) or "")
    try:
        is_url = not base_url or urlsplit(base_url).scheme in ("http", "https")
    except ValueError:
        is_url = False
    if not is_url:
        raise bad_repository("a package is at what is no http or https URL")
    return base_url


def read_counts(folder: str) -> Counts:
    """How many errata and package groups unpacked metadata has."""
    try:
        reader = RepositoryReader(folder)
        comps = reader.read_comps()
        errata = sum(1 for _ in reader.iter_advisories())
    except MetadataError:
        raise bad_repository(_EXTRAS) from None
    return Counts(errata, 0 if comps is None else len(comps.groups))


def write_metadata(source: str, target: str, names: list[str] | None) -> dict[str, str]:
    """Write the repodata of a publication from unpacked metadata; checksum → location of each published package."""
    try:
        return _written(source, target, names)
    except MetadataError:
        raise bad_repository(_PACKAGES) from None


def _written(source: str, target: str, names: list[str] | None) -> dict[str, str]:
    reader = RepositoryReader(source)
    wanted = None if names is None else frozenset(names)
    # Read twice, so that a package at a time is in memory: the writer begins with their number.
    known, checksums = set(), set()
    for package in reader.iter_packages():
        known.add(package.name)
        if wanted is None or package.name in wanted:
            checksums.add(package.checksum)
    _check_all_known(names, known)
    writer = RepositoryWriter(target, len(checksums))
    published: dict[str, str] = {}
    taken: set[str] = set()
    for package in reader.iter_packages():
        if wanted is not None and package.name not in wanted:
            continue
        _, checksum = known_checksum(*package.checksum)
        if checksum in published:
            continue
        name = posixpath.basename(safe_href(package.location_href))
        href = f"Packages/{name}"
        # Folders of the source may hold different files of one name.
        package.location_href = href if href not in taken else f"Packages/{checksum}/{name}"
        package.location_base = None
        package.time_file = int(time.time())
        writer.add_package(package)
        published[checksum] = package.location_href
        taken.add(package.location_href)
    for advisory in reader.iter_advisories():
        writer.add_advisory(advisory)
    comps = reader.read_comps()
    if comps is not None:
        writer.write_comps(comps.groups, comps.categories, comps.environments, comps.langpacks)
    writer.finish()
    return published


def _check_all_known(names: list[str] | None, known: set[str]) -> None:
    """The list is somebody's document: an error has the numbers of its lines, and not what they say."""
    unknown = [number for number, name in enumerate(names or (), 1) if name and name not in known]
    if unknown:
        first = ", ".join(map(str, unknown[:10]))
        raise OperationError(
            "unknown-packages", f"{len(unknown)} lines of the list name no package of the repository: lines {first}"
        )
