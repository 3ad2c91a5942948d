"""Turns a repository's contents into its files."""

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

from tests.support.repositories import documents
from tests.support.repositories.model import BUILT_AT, Advisory, Group, Rpm, digest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Edit = Callable[[bytes], bytes]
_PACKERS: Mapping[str, Edit] = {
    "": bytes,
    "gz": lambda content: gzip.compress(content, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
}
_SUFFIXES = {"modules": "yaml", "productid": "pem", "comps": "xml"}
_NEVER_PACKED = frozenset({"productid", "group"})


def packed(content: bytes, compression: str) -> bytes:
    """The content as `compression` (gz, bz2, xz, zst, or nothing) makes it."""
    return _PACKERS[compression](content)


@dataclass(kw_only=True)
class Repository:
    """A yum repository. The defaults are what createrepo_c writes today."""

    rpms: Sequence[Rpm] = ()
    advisories: Sequence[Advisory] = ()
    groups: Sequence[Group] = ()
    extra: Mapping[str, bytes] = field(default_factory=dict)
    """Further metadata by type, before it is packed."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files by path."""
    compression: str = "gz"
    compressions: Mapping[str, str] = field(default_factory=dict)
    """The compressions of single types of metadata."""
    checksum_type: str = "sha256"
    """The checksum type of metadata; packages have their own."""
    without: frozenset[str] = frozenset()
    """Types of metadata to leave out."""
    listed: Mapping[str, Sequence[Rpm]] = field(default_factory=dict)
    """The packages that single documents list, if not `rpms` in their order."""
    edits: Mapping[str, Edit] = field(default_factory=dict)
    """Changes to documents by type, before they are packed; to repomd.xml by `repomd`."""
    damage: Mapping[str, Edit] = field(default_factory=dict)
    """Changes to the served files: packed metadata by type, packages by name. The metadata does not reflect them."""
    packed_edits: Mapping[str, Edit] = field(default_factory=dict)
    """Changes to packed metadata, whose checksums and sizes are right."""
    hrefs: Mapping[str, str] = field(default_factory=dict)
    """The href of a type's metadata; by default like repodata/CHECKSUM-TYPE.xml.gz."""
    bases: Mapping[str, str] = field(default_factory=dict)
    """The xml:base of metadata of a type."""
    folder: str = ""
    """Where in the server's tree the repository is, with a slash at the end."""
    package_paths: Mapping[str, str] = field(default_factory=dict)
    """Where a package's file is in the server's tree, by its href, where that is not below `folder`."""
    has_sizes: bool = True
    """Whether repomd.xml tells sizes."""

    def documents(self) -> dict[str, bytes]:
        """The documents by type, before they are packed."""
        rpms = {kind: self.listed.get(kind, self.rpms) for kind in ("primary", "filelists", "other")}
        made = {
            "primary": documents.primary(rpms["primary"]),
            "filelists": documents.filelists(rpms["filelists"]),
            "other": documents.other(rpms["other"]),
        }
        if self.advisories:
            made["updateinfo"] = documents.updateinfo(self.advisories)
        if self.groups:
            made["group"] = documents.comps(self.groups)
        made.update(self.extra)
        return {
            kind: self.edits.get(kind, bytes)(content) for kind, content in made.items() if kind not in self.without
        }

    def tree(self) -> dict[str, bytes]:
        """All files by their paths in the server's tree."""
        tree = {}
        for rpm in (*self.rpms, *(rpm for listed in self.listed.values() for rpm in listed)):
            path = self.package_paths.get(rpm.location, f"{self.folder}{rpm.location}")
            tree[path] = self.damage.get(rpm.name, bytes)(rpm.content)
        entries = []
        for kind, content in self.documents().items():
            compression = self.compressions.get(kind, "" if kind in _NEVER_PACKED else self.compression)
            body = self.packed_edits.get(kind, bytes)(packed(content, compression))
            checksum = digest(body, self.checksum_type)
            suffix = f".{compression}" if compression else ""
            href = self.hrefs.get(kind, f"repodata/{checksum}-{kind}.{_SUFFIXES.get(kind, 'xml')}{suffix}")
            entries.append(self._entry(kind, href, content, body))
            tree[f"{self.folder}{href}"] = self.damage.get(kind, bytes)(body)
        tree[f"{self.folder}repodata/repomd.xml"] = self.edits.get("repomd", bytes)(_repomd(entries))
        tree.update(self.files)
        return tree

    def write(self, folder: Path) -> None:
        """Write all files below `folder`."""
        for path, content in self.tree().items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def _entry(self, kind: str, href: str, content: bytes, body: bytes) -> str:
        base = f" xml:base={quoteattr(self.bases[kind])}" if kind in self.bases else ""
        sizes = f"<size>{len(body)}</size><open-size>{len(content)}</open-size>" if self.has_sizes else ""
        return (
            f'<data type="{kind}"><checksum type="{self.checksum_type}">{digest(body, self.checksum_type)}</checksum>'
            f'<open-checksum type="{self.checksum_type}">{digest(content, self.checksum_type)}</open-checksum>'
            f"<location{base} href={quoteattr(href)}/><timestamp>{BUILT_AT}</timestamp>{sizes}</data>"
        )


def _repomd(entries: Sequence[str]) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo"'
        f' xmlns:rpm="http://linux.duke.edu/metadata/rpm"><revision>{BUILT_AT}</revision>\n'
        + "\n".join(entries)
        + "\n</repomd>\n"
    ).encode()
