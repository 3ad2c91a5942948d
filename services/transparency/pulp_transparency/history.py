"""Compares the history in Postgres with the records: each record is there once, as it was received."""

from base64 import b64decode
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import takewhile
from typing import Any, Final

import msgspec
from psycopg import Connection
from psycopg.rows import TupleRow
from pulp_events.broker_times import clamped_ms
from pulp_events.codec import decode, type_of
from pulp_events.errors import UndecodableRecord
from pulp_events.reader import Record
from pulp_projections.detached import SQL_OF_DETACHED, Detached, month_of
from pulp_projections.sql import load

from pulp_transparency.comparison import Kind, RecordDifference, first_difference
from pulp_transparency.entry import LogEntry, contents

_SQL: Final = load("pulp_transparency", "history.sql")
_ROWS: Final = 2000
"""How many rows are fetched at a time."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class History:
    """The history of the active read model, in one snapshot. Use it in a repeatable-read transaction."""

    def __init__(self, connection: Connection[TupleRow]) -> None:
        self._connection = connection
        self._ends = {partition: end for partition, end in connection.execute(_SQL["positions"])}
        self._detached = Detached([month_of(row) for row in connection.execute(SQL_OF_DETACHED["months"])])

    def end(self, partition: int) -> int:
        """The offset of the first record that is not projected yet."""
        return int(self._ends.get(partition, 0))

    def compare(
        self, partition: int, records: Iterable[Record], *, end: int | None = None
    ) -> tuple[RecordDifference | None, int]:
        """The first row before `end` that differs from its record, and how many records were compared.

        Months that were detached have no rows, and are not compared.
        """
        letters = {offset for (offset,) in self._connection.execute(_SQL["letter_offsets"], {"partition": partition})}
        projected, count = self.end(partition), 0
        stop = projected if end is None else min(end, projected)

        def expected() -> Iterator[LogEntry]:
            nonlocal count
            for record in records:
                if record.offset >= stop:
                    return
                if record.offset not in letters and self._detached.has(record):
                    continue
                count += 1
                yield row_of(record, is_letter=record.offset in letters)

        rows = self.rows(partition)
        if (
            stop < projected
        ):  # rows after the end of the records may be sound; rows after the projected position are not
            rows = takewhile(lambda row: row.offset < stop, rows)
        difference = first_difference(expected(), rows)
        if difference is None and (row := next(rows, None)) is not None:
            difference = RecordDifference(Kind.ADDED, count, row.offset, "the log has no record there")
        return difference, count

    def strays(self, partitions: Collection[int]) -> list[tuple[int, int]]:
        """Rows of partitions that the topic does not have: the first one of each."""
        found = self._connection.execute(_SQL["strays"], {"partitions": list(partitions)})
        return [(int(partition), int(offset)) for partition, offset in found]

    def rows(self, partition: int) -> Iterator[LogEntry]:
        """What the history has of each record, in order of offsets."""
        with self._connection.cursor(name="audit") as cursor:
            cursor.itersize = _ROWS
            cursor.execute(_SQL["rows"], {"partition": partition})
            for row in cursor:
                yield _entry(partition, *row)


def row_of(record: Record, *, is_letter: bool) -> LogEntry:
    """What the history must have of a record. One that does not decode is among the dead letters."""
    try:
        event = None if is_letter else decode(record.key, record.value)
    except UndecodableRecord:
        event = None
    if event is None:
        columns: list[Any] = ["letter", contents(record)]
    else:
        columns = [str(event.task_id), str(event.id), type_of(event), event.time, event.actor, record.value or b""]
    # The history has the nearest time that Postgres can store.
    return LogEntry(record.partition, record.offset, clamped_ms(record.timestamp_ms), _digest(columns))


def _entry(partition: int, offset: int, time: datetime, value: bytes | None, *rest: Any) -> LogEntry:
    task_id, event_id, kind, event_time, actor, key, headers = rest
    if task_id is None:
        record = Record(partition, offset, 0, key, value, _headers(headers))
        columns: list[Any] = ["letter", contents(record)]
    else:
        columns = [str(task_id), str(event_id), kind, event_time, actor, value]
    return LogEntry(partition, offset, round((time - _EPOCH).total_seconds() * 1000), _digest(columns))


def _headers(found: list[list[str | None]]) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((str(name), None if value is None else b64decode(value)) for name, value in found)


def _digest(columns: list[Any]) -> bytes:
    texts = [each.astimezone(UTC).isoformat() if isinstance(each, datetime) else each for each in columns]
    return sha256(msgspec.msgpack.encode(texts)).digest()
