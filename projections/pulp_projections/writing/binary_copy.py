"""COPY's binary format (PostgreSQL manual, COPY, "Binary Format"): fields by their types, and rows of them.

Neither side escapes anything in it, nor reads a number from text. A `timestamptz` in it is microseconds since 2000.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Final
from uuid import UUID

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
_EPOCH_MS: Final = 946_684_800_000
_LAST_MS: Final = 253_402_300_799_000
_TEXT_OID: Final = 25
_UUID_OID: Final = 2950
_length: Final = Struct(">i").pack
_int4: Final = Struct(">ii").pack
_int8: Final = Struct(">iq").pack
_bool: Final = Struct(">i?").pack
_uuid: Final = Struct(">i16s").pack
_array: Final = Struct(">iiiiii").pack
"""Of an array its length, dimensions, whether NULL is in it, the type, how many items, and the number of the first."""
_no_items: Final = Struct(">iiii").pack
"""The first four of these: without items there is no dimension."""


def table(rows: Iterable[bytes]) -> bytes:
    """All that COPY expects, of rows."""
    return b"".join((SIGNATURE, *rows, TRAILER))


def row(fields: Sequence[bytes]) -> bytes:
    """A row of fields."""
    return len(fields).to_bytes(2, "big") + b"".join(fields)


def data(value: bytes | None) -> bytes:
    """A field of type bytea or json, or of any other whose bytes these are."""
    return NULL if value is None else _length(len(value)) + value


@lru_cache(maxsize=4096)
def text(value: str | None) -> bytes:
    """A field of type text that is short and comes again and again: a name, a type, a state."""
    return data(None if value is None else value.encode())


def uuid(value: UUID | None) -> bytes:
    """A field of type uuid."""
    return NULL if value is None else _uuid(16, value.int.to_bytes(16, "big"))


def integer(value: int | None) -> bytes:
    """A field of type integer."""
    return NULL if value is None else _int4(4, value)


def bigint(value: int) -> bytes:
    """A field of type bigint."""
    return _int8(8, value)


def boolean(value: bool) -> bytes:
    """A field of type boolean."""
    return _bool(1, value)


@lru_cache(maxsize=256)  # a broker gives a whole batch of records one time
def time(timestamp_ms: int | None) -> bytes:
    """A field of type timestamptz, of a broker's time; one out of any calendar's range becomes its limit."""
    return NULL if timestamp_ms is None else _int8(8, microseconds(timestamp_ms))


def microseconds(timestamp_ms: int) -> int:
    """A broker's time as it stands in a timestamptz."""
    return (clamped_ms(timestamp_ms) - _EPOCH_MS) * 1000


def clamped_ms(timestamp_ms: int) -> int:
    """A time that every reader can hold: a topic with times of its producers may hold any number."""
    return min(max(timestamp_ms, 0), _LAST_MS)


def texts(values: Iterable[str]) -> bytes:
    """A field of type text[]."""
    return _items([text(value) for value in values], _TEXT_OID)


def uuids(values: Iterable[UUID]) -> bytes:
    """A field of type uuid[]."""
    return _items([uuid(value) for value in values], _UUID_OID)


def _items(items: Sequence[bytes], oid: int) -> bytes:
    if not items:
        return _no_items(12, 0, 0, oid)
    body = b"".join(items)
    return _array(20 + len(body), 1, 0, oid, len(items), 1) + body
