"""The entry of a record: the bytes that a leaf of the log covers. `docs/audit.md` has the encoding. Pure.

Never change an encoding: a new one gets a new version, and verifiers read both.
"""

import struct
from hashlib import sha256
from typing import Final, NamedTuple, Self

from pulp_events.reader import Record

from pulp_transparency.errors import RecordsFault

_VERSION_1: Final = b"PTL\x01"
_ABSENT: Final = b"\xff\xff\xff\xff"
_ENTRY: Final = struct.Struct(">4sIQq32s")
_length: Final = struct.Struct(">I").pack
ENTRY_BYTES: Final = _ENTRY.size


class LogEntry(NamedTuple):
    """What the log has of a record: where it is, when the broker received it, and the digest of its contents."""

    partition: int
    offset: int
    timestamp_ms: int
    digest: bytes
    """SHA-256 of `contents`."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """The entry of a record as Kafka has it."""
        return cls(record.partition, record.offset, record.timestamp_ms, sha256(contents(record)).digest())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The entry of its encoding. Raises `RecordsFault`."""
        if len(data) != ENTRY_BYTES or data[:4] != _VERSION_1:
            raise RecordsFault(
                f"an entry of the log begins with {data[:4]!r} and has {len(data)} bytes: this release reads version 1,"
                f" which begins with {_VERSION_1!r} and has {ENTRY_BYTES}"
            )
        return cls(*_ENTRY.unpack(data)[1:])

    def encode(self) -> bytes:
        """The bytes of version 1. Raises `RecordsFault` for numbers that no record of Kafka has."""
        try:
            return _ENTRY.pack(_VERSION_1, self.partition, self.offset, self.timestamp_ms, self.digest)
        except struct.error as error:
            raise RecordsFault(
                f"no record of Kafka has partition {self.partition}, offset {self.offset} and time {self.timestamp_ms}"
            ) from error

    def is_same_but_for_place(self, other: "LogEntry") -> bool:
        """Whether the two could be one record at two places."""
        return (self.timestamp_ms, self.digest) == (other.timestamp_ms, other.digest)


def contents(record: Record) -> bytes:
    """Key, headers and value as version 1 encodes them: each with its length; absent ones differ from empty ones."""
    headers = [_length(len(record.headers))]
    for name, value in record.headers:
        headers += (_sized(name.encode()), _sized(value))
    return b"".join((_sized(record.key), *headers, _sized(record.value)))


def _sized(data: bytes | None) -> bytes:
    return _ABSENT if data is None else _length(len(data)) + data
