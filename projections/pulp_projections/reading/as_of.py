"""Tasks as of a moment: the fold of their events up to it."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from msgspec.structs import replace
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.sql import SQL
from pulp_events.codec import TYPES, decode, key_of
from pulp_events.errors import HistoryIncomplete, TooMuchHistory
from pulp_events.events import Event, Progress
from pulp_events.task import Ignored, Position, Task, evolve

from pulp_projections.detached import detached_of, incomplete
from pulp_projections.reading.archived import ArchivedEvent, RecordArchive, events_of_task
from pulp_projections.reading.archived_folds import ArchivedFolds, ChangedTask, archived_folds
from pulp_projections.reading.moments import Asked, Moment, PastEvents, stop_of, stops_of_task
from pulp_projections.reading.queries import TaskReading, TaskRow, rows_of, task_row
from pulp_projections.sql import load, uuid_array
from pulp_projections.task_columns import COLUMNS, SQL_LISTS, changing
from pulp_projections.task_objects import row_maker
from pulp_projections.times import clamped_ms, moment

_BEFORE_PURGE: Final[Mapping[str, LiteralString]] = {
    "purged_at": "null::timestamptz",
    "purged_by": "null::text",
    "updated_at": "t.finished_at",
    "last_offset": "f.record_offset",
    "version": "t.version - 1",
}
"""The columns that a purge changes, as they were before: only a purge has an effect on a task that has ended."""
_LISTS: Final[Mapping[str, LiteralString]] = {
    **SQL_LISTS,
    "task_before_purge": ",".join(
        f"{_BEFORE_PURGE.get(each.name, 't.' + each.name)} as {each.name}" for each in COLUMNS
    ),
}
_SQL: Final = load("pulp_projections.reading", "as_of.sql", _LISTS)
MOST_CHANGED: Final = 20_000
"""The most tasks that one answer folds: those that had not ended."""
MOST_LISTED: Final = 20_000
"""The last row that pages of a list of the past reach."""
_FOLDED_AT_ONCE: Final = 500
"""How many tasks to fold before other requests run."""
_PARTS: Final[tuple[LiteralString, ...]] = ("unchanged", "unpurged", "folded")
"""The parts that make up the tasks of a moment."""
_WITH: Final = re.compile(r"with (recursive )?")
_changed: Final = row_maker(changing(COLUMNS))


async def task_as_of(
    connection: AsyncConnection, task_id: UUID, at: Asked, archive: RecordArchive | None = None
) -> TaskRow | None:
    """The task at a moment: after all events up to a broker time or a position, both included, or before the offsets.

    None if it did not exist yet. Events that are no longer in the history are read from `archive`; without one it
    raises `HistoryIncomplete`.
    """
    missing = await detached_of(connection, task_id)
    if missing.months and archive is None:
        raise incomplete(missing.months, f"task {task_id} has events of that time")
    if isinstance(at, Position):
        stops = {at.partition: at.offset + 1}
    elif not isinstance(at, datetime):
        stops = dict(at)
    elif missing.months:
        stops = await PastEvents(connection, missing, archive).stops_of(at)
    else:
        stops = await stops_of_task(connection, task_id, at)
    found = ArchivedFolds(stops)
    if missing.months and archive is not None:
        await found.add(events_of_task(connection, archive, missing, task_id))
    task = (await _fold(connection, [task_id], stops, found)).get(task_id)
    if task is None:
        return None
    # An event says nothing about other partitions: children in them count unless they are later than its time.
    before = "t.accepted_at <= %(until)s" if isinstance(at, Position) else "t.accepted_offset < " + stop_of(stops, "t")
    statement = SQL(_SQL["children"]).format(before=SQL(before))
    values = {"task_id": task_id, "until": moment(task.updated_at_ms)}
    cursor = await connection.execute(statement, values)
    return task_row(task, [row[0] for row in await cursor.fetchall()])


class Past:
    """The tables as they were at a moment, for the statements that read them as they are.

    One instance serves all pages of an answer. Before each transaction's statements `catch_up` folds what has changed
    since the moment, which costs one query for these tasks, and reads their events once.
    """

    def __init__(self, at: Moment, archive: RecordArchive | None = None) -> None:
        """`archive` has the events of months that were detached from the history."""
        self.moment = at
        self._archive = archive
        self._folded: dict[UUID, Task] = {}
        self._json = "[]"
        self._failures: list[Mapping[str, Any]] = []
        self._failures_json = "[]"
        stop = stop_of(at.stops, "t")
        self._pieces = {
            "stop": SQL(stop),
            "end": SQL(_SQL["end"]),
            "accepted": SQL("t.accepted_offset < " + stop),
            "unchanged": SQL("t.last_offset < " + stop),
            "recorded": SQL("e.record_offset < " + stop_of(at.stops, "e")),
        }
        self._world = SQL(_SQL["world"]).format(**self._pieces, failures=SQL(""))
        self._changed_since = SQL(_SQL["changed"]).format(**self._pieces)

    async def catch_up(self, connection: AsyncConnection) -> None:
        """Fold what this connection's transaction sees changed; call it in a transaction of one snapshot.

        Raises `TooMuchHistory` and `HistoryIncomplete`.
        """
        found = [each for each in await self._changed(connection) if each.task_id not in self._folded]
        if len(self._folded) + len(found) > MOST_CHANGED:
            raise TooMuchHistory(
                f"more than {MOST_CHANGED} tasks had not ended then and have changed since, and one answer folds no"
                " more: choose a moment at which fewer were waiting. One task is shown at any moment"
            )
        archived = await archived_folds(connection, self._archive, self.moment.stops, found)
        for start in range(0, len(found), _FOLDED_AT_ONCE):
            chunk = [each.task_id for each in found[start : start + _FOLDED_AT_ONCE]]
            folded = await _fold(connection, chunk, self.moment.stops, archived)
            if gone := next((task_id for task_id in chunk if task_id not in folded), None):
                raise _incomplete(gone)
            self._folded |= folded
        if found:
            self._json = msgspec.json.encode([_changed(task) for task in self._folded.values()]).decode()
        if archived.failures:
            self._failures += map(_failure_row, archived.failures)
            self._failures_json = msgspec.json.encode(self._failures).decode()
            self._world = SQL(_SQL["world"]).format(**self._pieces, failures=SQL(_SQL["failures"]))

    def around(self, statement: LiteralString) -> LiteralString:
        """The statement on the tables as of the moment."""
        begin = _WITH.match(statement)
        rest = f" {statement}" if begin is None else f", {statement[begin.end() :]}"
        whole = f"with recursive {self._world.as_string()}{rest}"
        return whole.replace("now()", "%(past_now)s::timestamptz")

    async def first(
        self, connection: AsyncConnection, reading: TaskReading, values: Mapping[str, Any], most: int
    ) -> list[UUID]:
        """Tasks that include the first `most` of a reading.

        Each part contributes its own first ones, from its own indexes: for all parts together, Postgres would read
        every task first. Raises `TooMuchHistory` for more than `MOST_LISTED`, whose ids would all be held at once.
        """
        if most > MOST_LISTED:
            raise TooMuchHistory(
                f"a list of the past shows no more than its first {MOST_LISTED} tasks: narrow the filters"
            )
        head, _, tail = reading.source.rpartition("tasks t")
        head = head.removesuffix("left join ") + ("join " if head else "")
        parts: list[LiteralString] = [
            f"(select t.task_id from {head}{part} t{tail}{reading.where} order by {reading.order} limit %(past_first)s)"
            for part in _PARTS
        ]
        found = await rows_of(connection, " union all ".join(parts), {**values, "past_first": most}, self)
        return [row[0] for row in found]

    @property
    def values(self) -> Mapping[str, Any]:
        """The parameters that `around` adds."""
        failures = {"past_failures": self._failures_json} if self._failures else {}
        return {
            "past_now": self.moment.time,
            "past_latest": self.moment.latest,
            "past_folded": self._json,
            **failures,
        }

    def changed_since(self) -> tuple[LiteralString, dict[str, Any]]:
        """The statement, with its values, that finds the tasks which had not ended then and have changed since."""
        values = {
            "past_latest": self.moment.latest,
            "past_earliest": self.moment.earliest_after,
            "past_most": MOST_CHANGED + 1,
        }
        return self._changed_since.as_string(), values

    async def _changed(self, connection: AsyncConnection) -> list[ChangedTask]:
        statement, values = self.changed_since()
        text = AsyncClientCursor(connection).mogrify(statement, values).encode()
        return [ChangedTask._make(row) for row in await (await connection.execute(text, prepare=False)).fetchall()]


async def _fold(
    connection: AsyncConnection,
    task_ids: Collection[UUID],
    stops: Mapping[int, int],
    archived: ArchivedFolds,
) -> dict[UUID, Task]:
    """The tasks after their events before the stops, of the history and archived ones; a task that did not exist is
    missing.
    """
    before = "e.record_offset < " + stop_of(stops, "e")
    statement = SQL(_SQL["effective_events"]).format(before=SQL(before))
    values = {"task_ids": uuid_array(task_ids), "progress": TYPES[Progress]}
    async with connection.cursor(binary=True) as cursor:  # as text an event is twice as long
        await cursor.execute(statement, values)
        rows: Sequence[Sequence[Any]] = await cursor.fetchall()
    rows = archived.among(task_ids, rows)
    folded: dict[UUID, Task] = {}
    versions: dict[UUID, int] = {}
    for task_id, partition, offset, timestamp_ms, value, version in rows:
        event = decode(key_of(task_id), bytes(value))
        assert isinstance(event, Event)
        after = evolve(folded.get(task_id), event, Position(partition, offset), timestamp_ms)
        if isinstance(after, Ignored):  # an effective event has its effect again, unless an earlier event is missing
            raise _incomplete(task_id)
        folded[task_id], versions[task_id] = after, version
    return {task_id: replace(task, version=versions[task_id]) for task_id, task in folded.items()}


def _failure_row(found: ArchivedEvent) -> Mapping[str, Any]:
    """A row of the history, as JSON has it."""
    record, event = found.record, found.event
    return {
        "partition": record.partition,
        "record_offset": record.offset,
        "task_id": event.task_id,
        "event_id": event.id,
        "type": found.type,
        "event_time": event.time,
        "broker_time": moment(clamped_ms(record.timestamp_ms)),
        "actor": event.actor,
        "effect": found.effect,
        "event": "\\x" + (record.value or b"").hex(),
    }


def _incomplete(task_id: UUID) -> HistoryIncomplete:
    return HistoryIncomplete(
        f"the first events of task {task_id} are no longer in the read model, because that part of the history was"
        " archived: what it was then is not known here"
    )
