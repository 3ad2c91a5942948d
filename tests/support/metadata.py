"""Metadata of yum repositories as text, with any oddity, and how createrepo_c reads it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import createrepo_c
import pytest
from backports import zstd
from pulp_operations.reading import Normalised, Normalising, UnpackLimits, normalise
from pulp_operations.records import MetadataFile, Package
from pulp_operations.settings import CHECKSUM_TYPES
from pulp_operations.versions import packages_in
from pulp_worker import OperationError

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
COMMON = 'xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"'
FILELISTS = 'xmlns="http://linux.duke.edu/metadata/filelists"'
OTHER = 'xmlns="http://linux.duke.edu/metadata/other"'
LIMITS = UnpackLimits(1 << 32, 300)


@dataclass(frozen=True)
class Rpm:
    """A package. `parts` replaces elements of primary by name; an empty text removes one."""

    name: str
    href: str = ""
    files: Sequence[str] = ("/usr/bin/x",)
    changes: Sequence[tuple[str, str, str]] = (("Jo <jo@x.example> - 1.0-1", "1354000000", "- made"),)
    summary: str = "A package of a test"
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def location(self) -> str:
        return self.href or f"Packages/{self.name}-1.0-1.noarch.rpm"

    def primary(self) -> str:
        parts = {
            "name": f"<name>{escape(self.name)}</name>",
            "arch": "<arch>noarch</arch>",
            "version": '<version epoch="0" ver="1.0" rel="1"/>',
            "checksum": f'<checksum type="sha256" pkgid="YES">{self.checksum}</checksum>',
            "summary": f"<summary>{escape(self.summary)}</summary>",
            "description": "<description>Words</description>",
            "packager": "<packager/>",
            "url": "<url/>",
            "time": '<time file="1354000000" build="1354000000"/>',
            "size": '<size package="6826" installed="500" archive="800"/>',
            "location": f"<location href={quoteattr(self.location)}/>",
            "format": (
                "<format><rpm:license>PD</rpm:license><rpm:vendor/><rpm:group>Unspecified</rpm:group>"
                "<rpm:buildhost>localhost</rpm:buildhost><rpm:sourcerpm>x.src.rpm</rpm:sourcerpm>"
                '<rpm:header-range start="280" end="2000"/><rpm:provides>'
                f'<rpm:entry name={quoteattr(self.name)} flags="EQ" epoch="0" ver="1.0" rel="1"/></rpm:provides></format>'
            ),
        }
        return f'<package type="rpm">\n{"".join(part + chr(10) for part in {**parts, **self.parts}.values())}</package>'

    def filelists(self) -> str:
        return self._extra("".join(f"<file>{escape(name)}</file>" for name in self.files))

    def other(self) -> str:
        changes = (
            f"<changelog author={quoteattr(author)} date={quoteattr(date)}>{escape(text)}</changelog>"
            for author, date, text in self.changes
        )
        return self._extra("".join(changes))

    def _extra(self, content: str) -> str:
        return (
            f'<package pkgid="{self.checksum}" name={quoteattr(self.name)} arch="noarch">'
            f'<version epoch="0" ver="1.0" rel="1"/>{content}</package>'
        )


def primary(*packages: Rpm, promised: int | None = None, names: str = COMMON) -> str:
    """A whole primary.xml."""
    count = len(packages) if promised is None else promised
    body = "\n".join(package.primary() for package in packages)
    return f'{HEAD}<metadata {names} packages="{count}">\n{body}\n</metadata>\n'


def filelists(*packages: Rpm) -> str:
    """A whole filelists.xml."""
    body = "\n".join(package.filelists() for package in packages)
    return f'{HEAD}<filelists {FILELISTS} packages="{len(packages)}">\n{body}\n</filelists>\n'


def other(*packages: Rpm) -> str:
    """A whole other.xml."""
    body = "\n".join(package.other() for package in packages)
    return f'{HEAD}<otherdata {OTHER} packages="{len(packages)}">\n{body}\n</otherdata>\n'


def advisory(
    identity: str | None, *, attributes: str = 'from="a@b.c" status="stable" type="security" version="1"'
) -> str:
    """An advisory; None: without an id."""
    told = "" if identity is None else f"<id>{escape(identity)}</id>"
    return (
        f'<update {attributes}>{told}<title>T</title><issued date="2020-01-01 10:00:00"/><description>d</description>'
        '<pkglist><collection short="c"><name>C</name><package name="ant" version="1.0" release="1" arch="noarch">'
        "<filename>a.rpm</filename></package></collection></pkglist></update>"
    )


def updateinfo(*advisories: str) -> str:
    """A whole updateinfo.xml."""
    return f"{HEAD}<updates>{''.join(advisories)}</updates>\n"


def of(*packages: Rpm, **more: str | bytes) -> dict[str, bytes]:
    """The metadata of a repository by its types; `more` adds to it, or replaces."""
    documents = {"primary": primary(*packages), "filelists": filelists(*packages), "other": other(*packages), **more}
    return {kind: text.encode() if isinstance(text, str) else text for kind, text in documents.items()}


@dataclass(frozen=True)
class Made:
    """The result of normalising metadata: the remarks, and the folder of the version."""

    told: Normalised
    folder: Path

    @property
    def packages(self) -> list[Package]:
        return list(packages_in(self.folder))

    @property
    def notes(self) -> list[str]:
        return [note.text for note in self.told.notes]

    def text(self, kind: str) -> bytes:
        return zstd.decompress((self.folder / "metadata" / f"{kind}.xml.zst").read_bytes())

    def read(self) -> list[dict[str, Any]]:
        """The packages as createrepo_c reads them."""
        return read_by_createrepo(self.folder, {kind: self.text(kind) for kind in ("primary", "filelists", "other")})

    def advisories(self) -> list[str]:
        """The ids of the advisories as createrepo_c reads them."""
        path = self.folder / "updateinfo.xml"
        path.write_bytes(self.text("updateinfo"))
        found = createrepo_c.UpdateInfo(str(path))
        return [update.id for update in found.updates]


def normalised(
    folder: Path,
    documents: Mapping[str, bytes],
    *,
    base: Path | None = None,
    algorithms: frozenset[str] = CHECKSUM_TYPES,
    limits: UnpackLimits = LIMITS,
    change: Callable[[MetadataFile], MetadataFile] = lambda entry: entry,
) -> Made:
    """Normalise these documents in this process; `folder` is made for it."""
    received, target = folder / "received", folder / "version"
    received.mkdir(parents=True)
    entries = []
    for kind, content in documents.items():
        digest = hashlib.sha256(content).hexdigest()
        entry = change(MetadataFile(type=kind, href=f"repodata/{kind}.xml", algorithm="sha256", checksum=digest))
        (received / entry.own_name).write_bytes(content)
        entries.append(entry)
    options = Normalising(limits=limits, algorithms=algorithms, base=None if base is None else str(base))
    return Made(normalise(str(received), entries, str(target), options), target)


def refused(folder: Path, documents: Mapping[str, bytes]) -> OperationError:
    """The error of normalising these documents, which must leave no unpacked files behind."""
    with pytest.raises(OperationError) as raised:
        normalised(folder, documents)
    assert not (folder / "version" / "unpacked").exists()
    return raised.value


def read_by_createrepo(folder: Path, documents: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The packages that createrepo_c reads from three documents; any warning is a failure."""
    paths = {}
    for kind, content in documents.items():
        paths[f"{kind}_path"] = str(folder / f"{kind}.plain.xml")
        Path(paths[f"{kind}_path"]).write_bytes(content)

    def refuse(kind: int, text: str) -> bool:
        raise AssertionError(f"createrepo_c warns ({kind}): {text}")

    return [_fields(package) for package in createrepo_c.PackageIterator(**paths, warningcb=refuse)]


def _fields(package: Any) -> dict[str, Any]:
    names = ("name", "arch", "epoch", "version", "release", "summary", "description", "location_href", "pkgId")
    numbers = ("time_file", "time_build", "size_package", "size_installed", "size_archive", "rpm_header_end")
    lists = ("requires", "provides", "conflicts", "obsoletes", "suggests", "files", "changelogs")
    return {name: getattr(package, name) for name in (*names, *numbers, *lists, "rpm_license", "rpm_sourcerpm")}
