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
# A row is its number of fields, then each field's length and bytes. `actor` and `effect` are between the times and the
# length of the event; all before `type` is of a fixed size.
_HEAD: Final = Struct(">hiiiqi16si16s").pack
_TIMES: Final = Struct(">iqiq").pack
_LENGTH: Final = Struct(">i").pack
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_MS: Final = 946_684_800_000
_LAST_MS: Final = 253_402_300_799_000


def binary(rows: Iterable[HistoryRow]) -> bytes:
    """All that COPY expects, for `COLUMNS`."""
    pieces = [_SIGNATURE]
    fields = len(COLUMNS)
    for row in rows:
        record, event, value = row.record, row.event, row.record.value or b""
        task_id, event_id = event.task_id.int.to_bytes(16, "big"), event.id.int.to_bytes(16, "big")
        since = event.time - _EPOCH
        event_time = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        pieces += (
            _HEAD(fields, 4, record.partition, 8, record.offset, 16, task_id, 16, event_id),
            _field(row.type),
            _TIMES(8, event_time, 8, _broker_time(record.timestamp_ms)),
            _field(event.actor),
            _field(row.effect),
            _LENGTH(len(value)),
            value,
        )
    pieces.append(_TRAILER)
    return b"".join(pieces)


def clamped_ms(timestamp_ms: int) -> int:
    """A time that every reader can hold: a topic with times of its producers may hold any number."""
    return min(max(timestamp_ms, 0), _LAST_MS)


@lru_cache(maxsize=4096)  # a broker gives a whole batch of records one time
def _broker_time(timestamp_ms: int) -> int:
    return (clamped_ms(timestamp_ms) - _EPOCH_MS) * 1000


@lru_cache(maxsize=4096)
def _field(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded
