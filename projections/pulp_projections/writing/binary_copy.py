"""COPY's binary format (PostgreSQL manual, COPY, "Binary Format"): fields by their types, and rows of them.

Neither side escapes values or parses numbers in it. A `timestamptz` is a number of microseconds since 2000.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Final
from uuid import UUID

from pulp_projections.times import clamped_ms

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
_EPOCH_MS: Final = 946_684_800_000
_TEXT_OID: Final = 25
_UUID_OID: Final = 2950
_length: Final = Struct(">i").pack
_int4: Final = Struct(">ii").pack
_int8: Final = Struct(">iq").pack
_bool: Final = Struct(">i?").pack
_uuid: Final = Struct(">i16s").pack
_array: Final = Struct(">iiiiii").pack
"""Array header: byte length, dimensions, has-nulls flag, element type, item count, lower bound."""
_no_items: Final = Struct(">iiii").pack
"""The header of an empty array: it has no dimension, and so neither count nor bound."""


def table(rows: Iterable[bytes]) -> bytes:
    """The whole input of COPY for these rows."""
    return b"".join((SIGNATURE, *rows, TRAILER))


def row(fields: Sequence[bytes]) -> bytes:
    """A row of fields."""
    return len(fields).to_bytes(2, "big") + b"".join(fields)


def data(value: bytes | None) -> bytes:
    """A field of type bytea, json or text, or of any other type whose binary form these bytes are."""
    return NULL if value is None else _length(len(value)) + value


def distinct_text(value: str | None) -> bytes:
    """A field of type text whose value is different nearly every time."""
    return data(None if value is None else value.encode())


@lru_cache(maxsize=4096)
def text(value: str | None) -> bytes:
    """A field of type text whose value is short and repeats: a name, a type, a state."""
    return distinct_text(value)


def uuid(value: UUID | None) -> bytes:
    """A field of type uuid."""
    return NULL if value is None else _uuid(16, value.int.to_bytes(16, "big"))


def integer(value: int | None) -> bytes:
    """A field of type integer."""
    return NULL if value is None else _int4(4, value)


def bigint(value: int | None) -> bytes:
    """A field of type bigint."""
    return NULL if value is None else _int8(8, value)


def boolean(value: bool | None) -> bytes:
    """A field of type boolean."""
    return NULL if value is None else _bool(1, value)


@lru_cache(maxsize=256)  # a broker gives all records of a batch the same time
def time(timestamp_ms: int | None) -> bytes:
    """A field of type timestamptz, from a broker's time. A time outside the calendar becomes the nearest one."""
    return NULL if timestamp_ms is None else _int8(8, microseconds(timestamp_ms))


def microseconds(timestamp_ms: int) -> int:
    """A broker's time as a timestamptz holds it."""
    return (clamped_ms(timestamp_ms) - _EPOCH_MS) * 1000


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
