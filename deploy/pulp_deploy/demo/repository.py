"""The demo's repositories: real RPM files of exact sizes, with comps and errata."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rpm_rs import BuildConfig, CompressionType, FileOptions, PackageBuilder
from rpmrepo_metadata import (
    CompsGroup,
    CompsPackageReq,
    Package,
    PackageReqType,
    RepositoryWriter,
    UpdateCollection,
    UpdateCollectionPackage,
    UpdateRecord,
)

# The user guide's cancelled sync: 31 packages of 37 fetched, 112,429,996 bytes of 149,958,122 left.
PACKAGES: Final = 37
FIRST: Final = 31
FIRST_BYTES: Final = 149_958_122 - 112_429_996
LAST_BYTES: Final = 112_429_996
_EPOCH: Final = 1_354_000_000


def guide_sizes() -> list[int]:
    """Of the guide's repository, in bytes: the first 31 packages are small, the last six large."""
    return [*_shares(FIRST_BYTES, FIRST), *_shares(LAST_BYTES, PACKAGES - FIRST)]


def build(folder: Path, sizes: Sequence[int], name: str = "demo") -> list[str]:
    """Write a repository into an empty folder: one package for each size, in bytes.

    The packages' locations come back, in the order of the metadata. Another name makes other packages.
    """
    packages = folder / "Packages"
    packages.mkdir(parents=True)
    locations = []
    writer = RepositoryWriter(str(folder), len(sizes))
    for number, size in enumerate(sizes, start=1):
        location = f"Packages/{_build_rpm(f'{name}-{number:02}', size, packages)}"
        package = Package.from_file(str(folder / location), location_href=location)
        package.time_file = _EPOCH
        writer.add_package(package)
        locations.append(location)
    writer.add_advisory(_advisory(package))
    writer.write_comps([_group(package)], [], [], [])
    writer.finish()
    return locations


def _shares(total: int, count: int) -> list[int]:
    """Sizes that add up to `total`: all but the last are multiples of four, as the files of an archive are."""
    share = total // count // 4 * 4
    return [*([share] * (count - 1)), total - share * (count - 1)]


def _build_rpm(name: str, size: int, folder: Path) -> str:
    """Make an RPM file of exactly `size` bytes; its name.

    The archive within grows by four bytes at a time; what is missing to four the package's name makes up for. So a
    small file tells which name fits, and how long the payload must be.
    """
    noise = random.Random(name)
    for letters in range(4):
        path = folder / f"{name}{'abc'[:letters]}-1.0-1.noarch.rpm"
        length = 1024
        for _ in range(3):
            _write(f"{name}{'abc'[:letters]}", noise.randbytes(length), path)
            difference = size - path.stat().st_size
            if difference == 0:
                return path.name
            if difference % 4:
                break
            length += difference
        path.unlink()
    raise AssertionError(f"no payload makes package {name} {size} bytes long")


def _write(name: str, payload: bytes, path: Path) -> None:
    builder = PackageBuilder(name, "1.0", "Public Domain", "noarch", "A package of the demonstration")
    builder.using_config(BuildConfig(compression=CompressionType.NONE, source_date=_EPOCH))
    builder.release("1")
    builder.description("Its content is noise.")
    builder.with_file_contents(payload, FileOptions.new(f"/usr/share/pulp-demo/{name}"))
    builder.build().write_file(str(path))


def _advisory(package: Package) -> UpdateRecord:
    record = UpdateRecord(
        id="DEMO-2012:0001",
        title="An erratum of the demonstration",
        update_type="enhancement",
        fromstr="demo",
        status="final",
        version="1",
        issued_date="2012-12-09 00:00:00",
    )
    collection = UpdateCollection(name="demo", shortname="demo")
    collection.packages = [
        UpdateCollectionPackage(
            name=package.name,
            version="1.0",
            release="1",
            arch="noarch",
            epoch="0",
            filename=package.location_href,
            src="",
        )
    ]
    record.pkglist = [collection]
    return record


def _group(package: Package) -> CompsGroup:
    group = CompsGroup(id="demo", name="Demonstration", description="All packages of the demonstration")
    group.packages = [CompsPackageReq(name=package.name, reqtype=PackageReqType.MANDATORY)]
    return group
