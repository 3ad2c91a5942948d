"""The content of a repository: packages, advisories, package groups."""

import hashlib
import tempfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from rpm_rs import BuildConfig, CompressionType, FileOptions, PackageBuilder

BUILT_AT = 1_354_000_000
"""The fixed build time of packages, in seconds since 1970, so that equal calls give equal bytes."""


@dataclass(frozen=True, kw_only=True)
class Changelog:
    """An entry of a package's changelog; `date` is in seconds since 1970."""

    author: str = "Ann Author <ann@example.org> - 1.0-1"
    date: int = BUILT_AT
    text: str = "- built"


@dataclass(frozen=True)
class Dependency:
    """What a package requires or provides. `flags` is one of LT, LE, EQ, GE, GT if there is a version."""

    name: str
    flags: str | None = None
    version: str | None = None
    release: str | None = None
    epoch: str = "0"


@dataclass(frozen=True)
class Rpm:
    """A package: its metadata and its RPM file. Two that differ only in `build` are twins: same name and version,
    different bytes.
    """

    name: str
    version: str = "1.0"
    release: str = "1"
    epoch: str = "0"
    arch: str = "noarch"
    files: tuple[str, ...] | None = None
    folders: tuple[str, ...] = ()
    ghosts: tuple[str, ...] = ()
    changelogs: tuple[Changelog, ...] = (Changelog(),)
    requires: tuple[Dependency, ...] = ()
    summary: str = "A package of a test"
    description: str = "It is small."
    build: str = ""
    href: str | None = None
    base_url: str | None = None
    checksum_type: str = "sha256"

    @property
    def file_name(self) -> str:
        """The name of the file as `rpm` gives it, without the epoch."""
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"

    @property
    def nevra(self) -> str:
        """The name as `dnf` shows it, with the epoch in any case."""
        return f"{self.name}-{self.epoch}:{self.version}-{self.release}.{self.arch}"

    @property
    def location(self) -> str:
        """The href in the metadata."""
        return f"Packages/{self.file_name}" if self.href is None else self.href

    @property
    def paths(self) -> tuple[str, ...]:
        """The regular files that it installs."""
        return (f"/usr/share/{self.name}",) if self.files is None else self.files

    @cached_property
    def content(self) -> bytes:
        """The RPM file."""
        return _rpm_file(self.name, self.version, self.release, self.arch, self.build)

    @cached_property
    def checksum(self) -> str:
        """The checksum of the RPM file, by `checksum_type`."""
        return digest(self.content, self.checksum_type)


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """An erratum for some packages."""

    id: str
    packages: tuple[Rpm, ...] = ()
    type: str = "security"
    severity: str = "Moderate"
    title: str = "An advisory"
    description: str = "It mends something."


@dataclass(frozen=True, kw_only=True)
class Group:
    """A package group of comps."""

    id: str
    packages: tuple[str, ...] = ()
    name: str = "A group"


def digest(content: bytes, checksum_type: str) -> str:
    """A checksum by the name that yum repositories give to its algorithm."""
    return hashlib.new({"sha": "sha1"}.get(checksum_type, checksum_type), content, usedforsecurity=False).hexdigest()


@lru_cache(maxsize=512)
def _rpm_file(name: str, version: str, release: str, arch: str, build: str) -> bytes:
    builder = PackageBuilder(name, version, "Public Domain", arch, "A package of a test")
    builder.release(release)
    builder.using_config(BuildConfig(compression=CompressionType.NONE, source_date=BUILT_AT))
    builder.with_file_contents(f"{name} {build}\n".encode() * 20, FileOptions.new(f"/usr/share/{name}"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "package.rpm"
        builder.build().write_file(str(path))
        return path.read_bytes()
