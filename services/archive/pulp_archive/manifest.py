"""The manifest of a partition: which files it has, in order, and their hashes. Pure."""

from hashlib import sha256
from itertools import pairwise
from typing import Final, Self

import msgspec
from msgspec import Struct
from pulp_events.plain_words import REFUSALS

FORMAT: Final = "pulp-tasks/archive/v1"
FILE: Final = "manifest.json"
CHECKPOINTS: Final = "checkpoints"
ENDING: Final = ".parquet"


class ArchivedSpan(Struct, frozen=True, kw_only=True):
    """A file, which holds all records from offset `begin` up to, not including, `next`."""

    file: str
    begin: int
    next: int
    records: int
    """The number of records; fewer than offsets if Kafka has gaps."""
    first_ms: int | None
    """The broker's time of the first record; None without one."""
    last_ms: int | None
    size_bytes: int
    sha256: str

    @classmethod
    def name(cls, begin: int, next_offset: int, digest: str) -> str:
        """The name of a file. Two writers of the same span do not overwrite each other's files."""
        return f"{begin:020}-{next_offset:020}-{digest[:12]}{ENDING}"


class NotManifest(Exception):
    """The text is not a manifest, or was altered."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What the archive has of one partition: spans that follow each other without a gap."""

    format: str = FORMAT
    topic: str
    topic_id: str
    partition: int
    spans: tuple[ArchivedSpan, ...] = ()
    sha256: str = ""
    """The hash of everything else, which detects damage. Only the checkpoints detect a forgery."""

    @property
    def begin(self) -> int | None:
        """The first offset that it covers; None if it is empty."""
        return self.spans[0].begin if self.spans else None

    @property
    def end(self) -> int | None:
        """The offset that follows; None if it is empty."""
        return self.spans[-1].next if self.spans else None

    def encode(self) -> bytes:
        """The text of the file."""
        sealed = msgspec.structs.replace(self, sha256=self._digest())
        return msgspec.json.format(msgspec.json.encode(sealed)) + b"\n"

    @classmethod
    def decode(cls, data: bytes, partition: int) -> Self:
        """The manifest of a file. Raises `NotManifest`."""
        try:
            found = msgspec.json.decode(data, type=cls)
        except REFUSALS as error:
            raise NotManifest("it is not the JSON of a manifest") from error
        if found.format != FORMAT:
            raise NotManifest(f"its format is {found.format!r}, and this release reads {FORMAT!r}")
        if found.sha256 != found._digest() or found.partition != partition:
            raise NotManifest("its contents do not match the hash that it states")
        follow = all(one.next == other.begin for one, other in pairwise(found.spans))
        if not follow or any(each.begin >= each.next for each in found.spans):
            raise NotManifest("its spans do not follow each other")
        return found

    def _digest(self) -> str:
        return sha256(msgspec.json.encode(msgspec.structs.replace(self, sha256=""))).hexdigest()
