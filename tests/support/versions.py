"""Builds versions of repositories as a sync leaves them in the store, without a feed."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import createrepo_c as cr
import msgspec
from pulp_operations.records import ContentCounts, MetadataFile, Package, StoredFile, VersionRecord
from pulp_operations.store import Store
from pulp_operations.versions import METADATA, PACKAGES_FILE, RECEIVED

from tests.support.yum import Runner

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ADVISORY = "ZOO-2012:0001"
FEED_TIME_S = 1_354_000_000


def content_of(name: str) -> bytes:
    """The bytes of a package of this name."""
    return f"the package {name} ".encode() * 100


def add_package(store: Store, name: str, location: str | None = None, href: str | None = None) -> Package:
    """Put a package into the store."""
    content = content_of(name)
    package = Package(
        name=f"{name}-1.0-1.noarch",
        href=href or f"pool/{name}.rpm",
        algorithm="sha256",
        checksum=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        location=location or f"Packages/{name}.rpm",
    )
    path = store.content_path(package)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return package


def add_tree_file(store: Store, path: str, content: bytes) -> StoredFile:
    """Put a file of an installable tree into the store."""
    file = StoredFile(
        path=path, algorithm="sha256", checksum=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )
    target = store.content_path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return file


def described(package: Package) -> Any:
    """The package as createrepo_c has it."""
    made = cr.Package()
    made.name, made.version, made.release = package.name.rsplit("-", 2)
    made.release, made.arch = made.release.rsplit(".", 1)
    made.epoch = "0"
    made.pkgId, made.checksum_type = package.checksum, package.algorithm
    made.location_href, made.size_package = package.location, package.size_bytes
    made.summary, made.description = "A <package> & more", "\u00fcber"
    made.time_file = made.time_build = FEED_TIME_S
    made.files = [("", "/usr/share/", made.name)]
    made.changelogs = [("A packager", FEED_TIME_S, f"- {made.name} <package is new>")]
    return made


def prepare(folder: Path, packages: list[Package], received: Mapping[str, tuple[str, bytes]]) -> list[MetadataFile]:
    """Write metadata, packages and `received` (type → href and content) into a folder; the entries of `received`."""
    metadata = folder / METADATA
    metadata.mkdir(parents=True)
    kinds = {"primary": cr.PrimaryXmlFile, "filelists": cr.FilelistsXmlFile, "other": cr.OtherXmlFile}
    for kind, write in kinds.items():
        file = write(str(metadata / f"{kind}.xml.zst"), cr.ZSTD_COMPRESSION)
        file.set_num_of_pkgs(len(packages))
        for package in packages:
            file.add_pkg(described(package))
        file.close()
    _write_advisory(metadata / "updateinfo.xml.zst")
    with zstd.open(folder / PACKAGES_FILE, "wb") as lines:
        for package in packages:
            lines.write(msgspec.json.encode(package) + b"\n")
    (folder / RECEIVED).mkdir()
    return [_receive(folder / RECEIVED, kind, href, content) for kind, (href, content) in received.items()]


def _write_advisory(path: Path) -> None:
    record = cr.UpdateRecord()
    record.id, record.title, record.type, record.fromstr, record.version = ADVISORY, "Fix", "bugfix", "zoo", "1"
    file = cr.UpdateInfoXmlFile(str(path), cr.ZSTD_COMPRESSION)
    file.add_chunk(cr.xml_dump_updaterecord(record))
    file.close()


def _receive(folder: Path, kind: str, href: str, content: bytes) -> MetadataFile:
    entry = MetadataFile(
        type=kind,
        href=href,
        algorithm="sha256",
        checksum=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )
    (folder / entry.own_name).write_bytes(content)
    return entry


def add_version(
    runner: Runner,
    repo_id: str,
    packages: list[Package],
    received: Mapping[str, tuple[str, bytes]] | None = None,
    **fields: Any,
) -> VersionRecord:
    """Make these packages the newest version of a repository, as its sync would. `signed` holds the received
    repomd.xml and its signature files, by name.
    """
    store = Store(runner.storage)
    runner.token += 1
    with store.scratch() as scratch:
        prepared = scratch / "version"
        entries = prepare(prepared, packages, received or {})
        signed = fields.pop("signed", {})
        for name, content in signed.items():
            (prepared / RECEIVED / name).write_bytes(content)
        repomd = signed.get("repomd.xml", b"")
        version = VersionRecord(
            number=0,
            token=runner.token,
            feed_key="feed",
            repomd_checksum=hashlib.sha256(repomd).hexdigest(),
            revision=str(FEED_TIME_S),
            timestamp_s=FEED_TIME_S,
            counts=ContentCounts(packages=len(packages), errata=1),
            entries=entries,
            **fields,
        )
        return store.versions(repo_id).save(prepared, version, keep=2)
