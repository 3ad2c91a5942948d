"""The demo's repositories: real RPM files of exact sizes, with comps and errata."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rpm_rs import BuildConfig, CompressionType, FileOptions, PackageBuilder

from pulp_deploy.demo.metadata import EPOCH, Rpm, write_repodata

# The user guide's cancelled sync: 31 packages of 37 fetched, 112,429,996 bytes of 149,958,122 left.
PACKAGES: Final = 37
FIRST: Final = 31
FIRST_BYTES: Final = 149_958_122 - 112_429_996
LAST_BYTES: Final = 112_429_996


def guide_sizes() -> list[int]:
    """The sizes of the packages of the guide's repository, in bytes: the first 31 are small, the last six large."""
    return [*_shares(FIRST_BYTES, FIRST), *_shares(LAST_BYTES, PACKAGES - FIRST)]


def build(folder: Path, sizes: Sequence[int], name: str = "demo") -> list[str]:
    """Write a repository into an empty folder: one package for each size, in bytes.

    Returns the packages' locations, in the order of the metadata. Another name gives other packages.
    """
    packages = folder / "Packages"
    packages.mkdir(parents=True)
    built = [_build_rpm(f"{name}-{number:02}", size, packages) for number, size in enumerate(sizes, start=1)]
    write_repodata(folder, built)
    return [rpm.location for rpm in built]


def _shares(total: int, count: int) -> list[int]:
    """Sizes that add up to `total`: all but the last are multiples of four, like the files in a cpio archive."""
    share = total // count // 4 * 4
    return [*([share] * (count - 1)), total - share * (count - 1)]


def _build_rpm(name: str, size: int, folder: Path) -> Rpm:
    """Make an RPM file of exactly `size` bytes.

    The archive inside grows in steps of four bytes; a longer package name supplies the rest. A first small file tells
    which name fits and how long the payload must be.
    """
    noise = random.Random(name)
    for letters in range(4):
        own_name = f"{name}{'abc'[:letters]}"
        path = folder / f"{own_name}-1.0-1.noarch.rpm"
        length = 1024
        for _ in range(3):
            _write(own_name, noise.randbytes(length), path)
            difference = size - path.stat().st_size
            if difference == 0:
                checksum = hashlib.sha256(path.read_bytes()).hexdigest()
                return Rpm(own_name, f"{folder.name}/{path.name}", checksum, size, _file(own_name))
            if difference % 4:
                break
            length += difference
        path.unlink()
    raise AssertionError(f"no payload makes package {name} {size} bytes long")


def _write(name: str, payload: bytes, path: Path) -> None:
    builder = PackageBuilder(name, "1.0", "Public Domain", "noarch", "A package of the demonstration")
    builder.using_config(BuildConfig(compression=CompressionType.NONE, source_date=EPOCH))
    builder.release("1")
    builder.description("Its content is noise.")
    builder.with_file_contents(payload, FileOptions.new(_file(name)))
    builder.build().write_file(str(path))


def _file(name: str) -> str:
    return f"/usr/share/pulp-demo/{name}"
