"""Rows of `task_events` for COPY: most of what the projection writes is these rows."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct
from typing import Final

from pulp_events.codec import TYPES
from pulp_events.events import UnknownEvent

from pulp_projections import binary_copy
from pulp_projections.fold import HistoryRow

COLUMNS: Final = (
    *("partition", "record_offset", "task_id", "event_id", "type"),
    *("event_time", "broker_time", "actor", "effect", "event"),
)
_PART_ROWS: Final = 200
"""Packed at once. What they are made of takes more than they do: of a whole batch it would be as much as the batch."""
# Fields with their lengths, several in one step, since there are so many rows; first the number of fields.
_head: Final = Struct(">hiiiqi16si16s").pack
_times: Final = Struct(">iqiq").pack
_length: Final = Struct(">i").pack
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_types: Final = {kind: binary_copy.text(literal) for kind, literal in TYPES.items()}
_microseconds: Final = lru_cache(maxsize=4096)(binary_copy.microseconds)


def binary(rows: Sequence[HistoryRow]) -> Iterator[bytes]:
    """All that COPY expects, for `COLUMNS`, in parts."""
    yield binary_copy.SIGNATURE
    for start in range(0, len(rows), _PART_ROWS):
        yield _packed(rows[start : start + _PART_ROWS])
    yield binary_copy.TRAILER


def _packed(rows: Sequence[HistoryRow]) -> bytes:
    pieces: list[bytes] = []
    fields, text = len(COLUMNS), binary_copy.text
    for row in rows:
        record, event = row.record, row.event
        value = record.value or b""
        task_id, event_id = event.task_id.int.to_bytes(16, "big"), event.id.int.to_bytes(16, "big")
        since = event.time - _EPOCH
        event_time = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        pieces += (
            _head(fields, 4, record.partition, 8, record.offset, 16, task_id, 16, event_id),
            text(event.type) if isinstance(event, UnknownEvent) else _types[type(event.data)],
            _times(8, event_time, 8, _microseconds(record.timestamp_ms)),
            text(event.actor),
            text(row.effect),
            _length(len(value)),
            value,
        )
    return b"".join(pieces)
