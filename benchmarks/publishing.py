"""`publish`: the cost of a publication compared with createrepo_c, which reads and writes the same metadata."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import createrepo_c as cr
import msgspec
from pulp_operations.records import ContentCounts, Package, VersionRecord
from pulp_operations.store import Store
from pulp_operations.versions import METADATA, PACKAGES_FILE, RECEIVED

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from benchmarks.measure import OURS, Measure, Sizes
from benchmarks.scene import Servers

REPOSITORY: Final = "bench"
_TIME_S: Final = 1_354_000_000
_KINDS: Final = {"primary": cr.PrimaryXmlFile, "filelists": cr.FilelistsXmlFile, "other": cr.OtherXmlFile}
_FILES, _CHANGES, _REQUIRED = 20, 5, 8


async def ours(_: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Our operation, with its links and the comparison of every byte: processor seconds and the largest process."""
    return await _run("ours", _storage(sizes.of(50_000, 500)))


async def createrepo_c(_: Servers, sizes: Sizes) -> Mapping[str, float]:
    """A loop that reads each package of the same metadata with createrepo_c and writes it with createrepo_c."""
    return await _run("createrepo_c", _storage(sizes.of(50_000, 500)))


async def _run(side: str, storage: Path) -> Mapping[str, float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.publishing_sides", side, str(storage)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the side {side} ended with {process.returncode}")
    found: dict[str, float] = json.loads(out)
    return found


@cache
def _folder() -> "TemporaryDirectory[str]":
    return TemporaryDirectory(prefix="pulp-bench-publish-")


@cache
def _storage(packages: int) -> Path:
    """Create a store with one version, as a sync would leave it."""
    storage = Path(_folder().name) / str(packages)
    store = Store(storage)
    with store.scratch() as scratch:
        prepared = scratch / "version"
        (prepared / METADATA).mkdir(parents=True)
        (prepared / RECEIVED).mkdir()
        _write(store, prepared, packages)
        version = VersionRecord(
            number=0,
            token=1,
            feed_key="bench",
            revision=str(_TIME_S),
            timestamp_s=_TIME_S,
            counts=ContentCounts(packages=packages),
        )
        store.versions(REPOSITORY).save(prepared, version, keep=2)
    return storage


def _write(store: Store, prepared: Path, packages: int) -> None:
    files = {
        kind: write(str(prepared / METADATA / f"{kind}.xml.zst"), cr.ZSTD_COMPRESSION) for kind, write in _KINDS.items()
    }
    for file in files.values():
        file.set_num_of_pkgs(packages)
    with zstd.open(prepared / PACKAGES_FILE, "wb") as lines:
        for number in range(packages):
            package = _package(store, number)
            lines.write(msgspec.json.encode(package) + b"\n")
            described = _described(package, number)
            for file in files.values():
                file.add_pkg(described)
    for file in files.values():
        file.close()


def _package(store: Store, number: int) -> Package:
    name = f"package-{number:06}"
    content = f"the package {name}\n".encode() * 4
    package = Package(
        name=f"{name}-1.0-1.noarch",
        href=f"Packages/{name}-1.0-1.noarch.rpm",
        algorithm="sha256",
        checksum=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        location=f"Packages/{name}-1.0-1.noarch.rpm",
    )
    path = store.content_path(package)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return package


def _described(package: Package, number: int) -> Any:
    made = cr.Package()
    made.name, made.epoch, made.version, made.release, made.arch = (
        package.name.split("-1.0")[0],
        "0",
        "1.0",
        "1",
        "noarch",
    )
    made.pkgId, made.checksum_type = package.checksum, package.algorithm
    made.location_href, made.size_package = package.location, package.size_bytes
    made.summary = f"A package of a benchmark, number {number}"
    made.description = " ".join(hashlib.sha256(f"{number}-{line}".encode()).hexdigest() for line in range(6))
    made.time_file = made.time_build = _TIME_S + number
    made.files = [("", f"/usr/share/{made.name}/{part % 4}/", f"file-{part}-{number}") for part in range(_FILES)]
    made.requires = [(f"package-{(number * part) % 997:06}", "GE", "0", "1.0", "1", False) for part in range(_REQUIRED)]
    made.provides = [(made.name, "EQ", "0", "1.0", "1", False)]
    made.changelogs = [
        (
            "A packager <packager@example.org> - 1.0-1",
            _TIME_S + day * 86_400,
            f"- change {day} of {made.name}, and why it was made",
        )
        for day in range(_CHANGES)
    ]
    return made


MEASURES: Final = [
    Measure(
        name="publish",
        what="50,000 packages, with links and the comparison of every byte; beside it createrepo_c reads and writes",
        unit="s",
        goal="1.2 times its processor time, 150 MiB",
        sides={OURS: ours, "createrepo_c": createrepo_c},
        needs_servers=False,
    ),
]
