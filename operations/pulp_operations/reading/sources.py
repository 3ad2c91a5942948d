"""The sources of metadata: the files received from a feed, and the previous version."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from pulp_operations.reading.text import Text, write_text
from pulp_operations.records import MetadataFile
from pulp_operations.unpacking import unpacked_pieces
from pulp_operations.versions import METADATA


class UnpackLimits(Struct, frozen=True):
    """How large one file of metadata may become."""

    most_bytes: int
    most_ratio: int


class MetadataDocuments:
    """Unpacks documents into a folder, one at a time."""

    def __init__(
        self, received: Path, entries: list[MetadataFile], base: Path | None, work: Path, limits: UnpackLimits
    ) -> None:
        self.entries = {entry.type: entry for entry in entries}
        self.base = base
        self._received, self._work, self._limits = received, work, limits
        self._made = 0

    def of_feed(self, kind: str) -> Text | None:
        """The document of this type; None if the feed has none. Raises `LimitExceeded` and `OperationError`."""
        entry = self.entries.get(kind)
        if entry is None:
            return None
        path = self._received / entry.own_name
        return self._text(path, f"{kind} metadata", entry.open_size_bytes)

    def of_base(self, kind: str) -> Text | None:
        """The document of this type in the previous version; None if it has none."""
        path = None if self.base is None else self.base / METADATA / f"{kind}.xml.zst"
        if path is None or not path.exists():
            return None
        return self._text(path, f"{kind} metadata of the version before", None)

    def pieces(self, kind: str) -> Iterator[bytes]:
        """The unpacked content of a file that is not XML, in pieces. The feed must list it."""
        entry = self.entries[kind]
        return unpacked_pieces(
            self._received / entry.own_name,
            what=f"{kind} metadata",
            most_bytes=self._limits.most_bytes,
            most_ratio=self._limits.most_ratio,
            promised_bytes=entry.open_size_bytes,
            is_xml=False,
        )

    def _text(self, path: Path, what: str, promised_bytes: int | None) -> Text:
        self._made += 1
        pieces = unpacked_pieces(
            path,
            what=what,
            most_bytes=self._limits.most_bytes,
            most_ratio=self._limits.most_ratio,
            promised_bytes=promised_bytes,
        )
        return write_text(pieces, self._work / f"{self._made}.xml", what)
