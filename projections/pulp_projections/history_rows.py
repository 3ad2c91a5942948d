"""Rows of `task_events` for COPY: most of what the projection writes is these rows."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct
from typing import Final

from pulp_events.codec import TYPES
from pulp_events.events import Event

from pulp_projections import binary_copy
from pulp_projections.fold import HistoryRow

COLUMNS: Final = (
    *("partition", "record_offset", "task_id", "event_id", "type"),
    *("event_time", "broker_time", "actor", "effect", "event"),
)
# Fields with their lengths, several in one step, since there are so many rows; first the number of fields.
_head: Final = Struct(">hiiiqi16si16s").pack
_times: Final = Struct(">iqiq").pack
_length: Final = Struct(">i").pack
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_types: Final = {kind: binary_copy.text(literal) for kind, literal in TYPES.items()}
_MOST_PIECES: Final = 1500
"""In a part: most often some 110 kB. From 128 kB on psycopg would copy it once more, in slices."""
_microseconds: Final = lru_cache(maxsize=256)(binary_copy.microseconds)


class _Texts(dict[str, bytes]):
    """Fields of type text, each made once."""

    def __missing__(self, value: str) -> bytes:
        field = self[value] = binary_copy.text(value)
        return field


def binary(rows: Iterable[HistoryRow]) -> Iterator[bytes]:
    """All that COPY expects, for `COLUMNS`, in parts that stay in the processor's caches until they are sent."""
    pieces = [binary_copy.SIGNATURE]
    fields, texts = len(COLUMNS), _Texts()
    for row in rows:
        record, event = row.record, row.event
        value = record.value or b""
        task_id, event_id = event.task_id.int.to_bytes(16), event.id.int.to_bytes(16)
        since = event.time - _EPOCH
        event_time = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        pieces += (
            _head(fields, 4, record.partition, 8, record.offset, 16, task_id, 16, event_id),
            _types[type(event.data)] if isinstance(event, Event) else texts[event.type],
            _times(8, event_time, 8, _microseconds(record.timestamp_ms)),
            texts[event.actor],
            texts[row.effect],
            _length(len(value)),
            value,
        )
        if len(pieces) > _MOST_PIECES:
            yield b"".join(pieces)
            pieces.clear()
    pieces.append(binary_copy.TRAILER)
    yield b"".join(pieces)
