"""History rows for COPY, in its binary format: most of what the projection writes is these rows.

The format: PostgreSQL manual, COPY, "Binary Format". A `timestamptz` in it is microseconds since 2000.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct
from typing import Final

from pulp_projections.fold import HistoryRow

COLUMNS: Final = (
    *("partition", "record_offset", "task_id", "event_id", "type"),
    *("event_time", "broker_time", "actor", "effect", "event"),
)
_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
# A row is its number of fields, then each field's length and bytes. Here up to the length of `type`, and of `actor`.
_HEAD: Final = Struct(">hiiiqi16si16si").pack
_TIMES: Final = Struct(">iqiqi").pack
_LENGTH: Final = Struct(">i").pack
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_MS: Final = 946_684_800_000
_LAST_MS: Final = 253_402_300_799_000


def binary(rows: Iterable[HistoryRow]) -> bytes:
    """All that COPY expects, for `COLUMNS`."""
    pieces = [_SIGNATURE]
    fields = len(COLUMNS)
    for record, event, kind, effect in rows:
        type_, actor, value = _encoded(kind), _encoded(event.actor), record.value or b""
        since = event.time - _EPOCH
        pieces += (
            _HEAD(
                fields,
                4,
                record.partition,
                8,
                record.offset,
                16,
                event.task_id.int.to_bytes(16, "big"),
                16,
                event.id.int.to_bytes(16, "big"),
                len(type_),
            ),
            type_,
            _TIMES(
                8,
                (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds,
                8,
                (clamped_ms(record.timestamp_ms) - _EPOCH_MS) * 1000,
                len(actor),
            ),
            actor,
            _field(effect),
            _LENGTH(len(value)),
            value,
        )
    pieces.append(_TRAILER)
    return b"".join(pieces)


def clamped_ms(timestamp_ms: int) -> int:
    """A time that every reader can hold: a topic with times of its producers may hold any number."""
    return min(max(timestamp_ms, 0), _LAST_MS)


@lru_cache(maxsize=4096)
def _encoded(text: str) -> bytes:
    return text.encode()


@lru_cache(maxsize=64)
def _field(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded
