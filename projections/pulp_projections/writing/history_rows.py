"""Rows of `task_events` for COPY: most of what the projection writes."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct
from typing import Final

from pulp_events.codec import wire_type
from pulp_events.events import Event

from pulp_projections.writing import binary_copy
from pulp_projections.writing.fold import HistoryRow

COLUMNS: Final = (
    *("partition", "record_offset", "task_id", "event_id", "event_time", "broker_time"),
    *("event", "type", "actor", "effect"),
)
"""The columns of fixed length come first, so that they are packed in one step with their lengths."""
_fixed: Final = Struct(">hiiiqi16si16siqiqi").pack
"""The number of fields, the fields before `event`, and the length of `event`."""
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_PIECES: Final = 75
"""Pieces in a part, three for each row. Parts are created on the event loop, and each blocks it meanwhile."""
_microseconds: Final = lru_cache(maxsize=256)(binary_copy.microseconds)


class _Texts(dict[tuple[str, str, str], bytes]):
    """The last three fields, which are texts, by type, actor and effect; each combination is encoded once."""

    def __missing__(self, key: tuple[str, str, str]) -> bytes:
        fields = self[key] = _texts(*key)
        return fields


def binary(rows: Iterable[HistoryRow]) -> Iterator[bytes]:
    """The whole input of COPY for `COLUMNS`, in parts of some 15 kB."""
    pieces = [binary_copy.SIGNATURE]
    fields, texts = len(COLUMNS), _Texts()
    for row in rows:
        record, event = row.record, row.event
        value = record.value or b""
        task, own = event.task_id.int.to_bytes(16), event.id.int.to_bytes(16)
        since = event.time - _EPOCH
        time = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        broker = _microseconds(record.timestamp_ms)
        pieces += (
            _fixed(fields, 4, record.partition, 8, record.offset, 16, task, 16, own, 8, time, 8, broker, len(value)),
            value,
            texts[wire_type(event.data), event.actor, row.effect]
            if isinstance(event, Event)
            else _texts(event.type, event.actor, row.effect),
        )
        if len(pieces) > _MOST_PIECES:
            yield b"".join(pieces)
            pieces.clear()
    pieces.append(binary_copy.TRAILER)
    yield b"".join(pieces)


def _texts(kind: str, actor: str, effect: str) -> bytes:
    return binary_copy.text(kind) + binary_copy.text(actor) + binary_copy.text(effect)
