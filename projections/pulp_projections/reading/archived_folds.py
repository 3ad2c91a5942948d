"""Detached events of tasks that are folded up to a moment, together with the rows of the history."""

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import TooMuchHistory
from pulp_events.events import AttemptFailed, Event, Progress

from pulp_projections.detached import DetachedMonth, detached, incomplete
from pulp_projections.reading.archived import APPLIED, ArchivedEvent, RecordArchive, events_of_tasks

MOST_RECORDS: Final = 5_000_000
"""The most records of an archive that one answer searches for the events of tasks."""
MOST_BYTES: Final = 64 << 20
"""The largest total size of the events of one answer."""
_EVENT_BYTES: Final = 300
"""The memory that an event takes besides its value: its place, its time, and its entry in the dictionary."""


class ChangedTask(NamedTuple):
    """A task that had not ended at the moment and has changed since."""

    task_id: UUID
    partition: int
    accepted_offset: int


class _Span(NamedTuple):
    """The first and last offsets of some tasks' detached events."""

    partition: int
    first: int
    last: int
    task_ids: list[UUID]


class ArchivedFolds:
    """The detached events of some tasks that had an effect before the stops.

    For progress it keeps only the last event of each task, because each replaces the previous one.
    """

    def __init__(self, stops: Mapping[int, int], most_bytes: float = math.inf) -> None:
        self._stops = stops
        self._events: dict[UUID, dict[tuple[int, int], tuple[int, bytes]]] = {}
        """Task → partition and offset → broker time and value."""
        self._progress: dict[UUID, tuple[int, int]] = {}
        self._versions: dict[UUID, int] = {}
        self._failures: dict[UUID, ArchivedEvent] = {}
        self._left = most_bytes

    @property
    def failures(self) -> Iterable[ArchivedEvent]:
        """The last event of each task about a failed attempt."""
        return self._failures.values()

    async def add(self, events: AsyncIterator[ArchivedEvent]) -> None:
        """Keep events, which come in log order. Raises `TooMuchHistory` if they take more than `most_bytes`."""
        async for each in events:
            record, event = each.record, each.event
            if each.effect != APPLIED or record.offset >= self._stops.get(record.partition, 0):
                continue
            task_id, place = event.task_id, (record.partition, record.offset)
            own = self._events.setdefault(task_id, {})
            self._versions[task_id] = self._versions.get(task_id, 0) + 1
            data = event.data if isinstance(event, Event) else None
            value = record.value or b""
            if isinstance(data, Progress):
                if (before := self._progress.get(task_id)) is not None:
                    self._left += len(own.pop(before)[1]) + _EVENT_BYTES
                self._progress[task_id] = place
            elif isinstance(data, AttemptFailed):
                self._failures[task_id] = each
            own[place] = record.timestamp_ms, value
            self._left -= len(value) + _EVENT_BYTES
            if self._left < 0:
                raise TooMuchHistory(
                    f"the events of the tasks that had not ended then take more than {MOST_BYTES >> 20} MiB in the"
                    " archive, and one answer reads no more: choose a moment at which fewer were waiting. One task is"
                    " shown at any moment"
                )

    def among(self, task_ids: Collection[UUID], rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Rows of `effective_events` of these tasks, with those that are kept here, in log order by task."""
        versions = {row[0]: row[-1] for row in rows}
        found: dict[UUID, list[Sequence[Any]]] = {task_id: [] for task_id in task_ids}
        for row in rows:
            found[row[0]].append(row)
        for task_id in task_ids:
            for (partition, offset), (timestamp_ms, value) in self._events.get(task_id, {}).items():
                found[task_id].append((task_id, partition, offset, timestamp_ms, value, 0))
            found[task_id].sort(key=lambda row: (row[1], row[2]))
        return [
            (*row[:-1], versions.get(task_id, 0) + self._versions.get(task_id, 0))
            for task_id, own in found.items()
            for row in own
        ]


async def archived_folds(
    connection: AsyncConnection, archive: RecordArchive | None, stops: Mapping[int, int], tasks: Sequence[ChangedTask]
) -> ArchivedFolds:
    """The detached events of tasks.

    Raises `HistoryIncomplete` if there are any before the stops and no archive, and `TooMuchHistory` before it
    reads more than `MOST_RECORDS`.
    """
    found, missing = ArchivedFolds(stops, MOST_BYTES), await detached(connection)
    months = missing.between({}, stops)
    if not months:
        return found
    if archive is None:
        raise incomplete(months, "lists of the past need all that came before")
    spans = list(
        _spans(tasks, {partition: min(stop - 1, missing.last(partition)) for partition, stop in stops.items()})
    )
    records = 0
    for span in spans:
        first = max(span.first, missing.first(span.partition))
        records += await asyncio.to_thread(archive.count, span.partition, first, span.last + 1)
    if records > MOST_RECORDS:
        raise TooMuchHistory(_too_many(records, months))
    for span in spans:
        await found.add(
            events_of_tasks(connection, archive, missing, span.task_ids, span.partition, span.first, span.last)
        )
    return found


def _spans(tasks: Sequence[ChangedTask], lasts: Mapping[int, int]) -> Iterable[_Span]:
    for partition, last in lasts.items():
        own = [each for each in tasks if each.partition == partition and each.accepted_offset <= last]
        if own:
            yield _Span(partition, min(each.accepted_offset for each in own), last, [each.task_id for each in own])


def _too_many(records: int, months: Sequence[DetachedMonth]) -> str:
    kept = [month.name for month in months if month.is_kept]
    way = f": an administrator brings months back by pulp-tasks history attach {' '.join(kept)}" if kept else ""
    return (
        f"tasks that had not ended then began up to {records:,} records of the archive before, and one answer reads no"
        f" more than {MOST_RECORDS:,}{way}. One task is shown at any moment"
    )
