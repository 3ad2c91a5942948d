"""Copying received metadata into a publication byte for byte, except what would be wrong there."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import Struct
from pulp_worker import LimitExceeded, OperationError

from pulp_operations.layout import checksum_of
from pulp_operations.publishing.errors import damaged_version
from pulp_operations.publishing.packing import REPODATA, Compression, Entry, pack
from pulp_operations.publishing.placing import link_into
from pulp_operations.records import MetadataFile, Note
from pulp_operations.unpacking import unpacked_pieces

DELTAS: Final = ("prestodelta", "deltainfo")
OWN: Final = ("primary", "filelists", "other", "updateinfo")
"""The types that a version has as metadata of our own."""
_GROUPS: Final = ("group", "group_gz", "group_xz", "group_zst", "group_bz2")
"""The forms of one document. The feed's first form replaces the forms that the feed lacks."""
_DATABASE: Final = re.compile(r"(primary|filelists|other|updateinfo|group|prestodelta|deltainfo)_db")
_FOR_ALL: Final = (b"<", b"\x1f\x8b")
"""The first bytes of package groups that every client can read: XML, or gzip."""


class Carried(Struct, frozen=True, kw_only=True):
    """The files that were copied, and those that were not."""

    entries: list[Entry]
    notes: list[Note]


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carries files from the folder of received metadata into a publication."""

    received: Path
    publication: Path
    compression: Compression
    most_bytes: int
    most_ratio: int

    def carry_all(self, entries: list[MetadataFile]) -> Carried:
        """Carry over all metadata except what a version has in a form of its own.

        Raises `OperationError` (`damaged-version`) if a file is not the one that was received.
        """
        made, notes = [], []
        for entry in entries:
            reason = left_out(entry.type)
            if reason is not None:
                notes.append(Note(what=f"{entry.shown_type} metadata", reason=reason))
            elif entry.type not in OWN and not self._is_for_few(entry):
                made.append(self._carry(entry))
        groups, problems = self._groups({entry.type: entry for entry in entries}, {entry.type for entry in made})
        return Carried(entries=made + groups, notes=notes + problems)

    def _is_for_few(self, entry: MetadataFile) -> bool:
        """Whether it is the form of package groups that all clients look for, packed in a way that is new to some."""
        if entry.type != "group" or self.compression != "gzip":
            return False
        return not self._intact(entry).read_bytes()[:8].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_FOR_ALL)

    def _groups(self, held: dict[str, MetadataFile], made: set[str]) -> tuple[list[Entry], list[Note]]:
        """Package groups plain and compressed: some clients read only one of the forms, others prefer the other."""
        entry = next((held[kind] for kind in _GROUPS if kind in held), None)
        if entry is None:
            return [], []
        packed = "group_gz" if self.compression == "gzip" else "group_zst"
        forms: dict[str, Compression] = {"group": "none", packed: self.compression}
        try:
            return [
                pack(self._pieces(entry), self.publication, type=kind, name="comps.xml", compression=compression)
                for kind, compression in forms.items()
                if kind not in made
            ], []
        except (OperationError, LimitExceeded) as error:
            reason = f"published only as the feed has it: {error}"
            return ([] if entry.type in made else [self._carry(entry)]), [Note(what="group metadata", reason=reason)]

    def _carry(self, entry: MetadataFile) -> Entry:
        source = self._intact(entry)
        checksum, size_bytes = checksum_of(source, "sha256"), source.stat().st_size
        name = f"{checksum}-{entry.own_name.replace(f'-{entry.checksum}', '', 1)}"
        target = self.publication / REPODATA / name
        if not target.exists():  # two types may name the same file
            link_into(source, target)
        opened = self._opened(entry)
        is_packed = opened is not None and opened != (checksum, size_bytes)
        return Entry(
            type=entry.type,
            href=f"{REPODATA}/{name}",
            checksum=checksum,
            size_bytes=size_bytes,
            open_checksum=opened[0] if opened is not None and is_packed else None,
            open_size_bytes=opened[1] if opened is not None and is_packed else None,
        )

    def _opened(self, entry: MetadataFile) -> tuple[str, int] | None:
        """Checksum and size of the uncompressed content; None if it cannot be decompressed."""
        digest, size_bytes = hashlib.sha256(), 0
        try:
            for piece in self._pieces(entry):
                digest.update(piece)
                size_bytes += len(piece)
        except (OperationError, LimitExceeded):
            return None
        return digest.hexdigest(), size_bytes

    def _pieces(self, entry: MetadataFile) -> Iterator[bytes]:
        return unpacked_pieces(
            self.received / entry.own_name,
            what=f"{entry.shown_type} metadata",
            most_bytes=self.most_bytes,
            most_ratio=self.most_ratio,
            is_xml=False,
        )

    def _intact(self, entry: MetadataFile) -> Path:
        path = self.received / entry.own_name
        try:
            if checksum_of(path, entry.algorithm) == entry.checksum:
                return path
        except FileNotFoundError:
            raise damaged_version(f"its {entry.shown_type} metadata is not there") from None
        raise damaged_version(f"its {entry.shown_type} metadata is not what the feed gave")


def left_out(kind: str) -> str | None:
    """Why publications with metadata of our own lack this type; None if they have it."""
    if kind in DELTAS:
        return "left out, since delta packages are not mirrored: clients fetch whole packages"
    if _DATABASE.fullmatch(kind) or kind.endswith("_zck"):
        return "left out, since it repeats other metadata in a form that clients can do without"
    return None
