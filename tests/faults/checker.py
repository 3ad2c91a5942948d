"""Compares the read model in Postgres with the reference, at the positions stored in Postgres."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from tests.faults.folding import Entry
from tests.faults.reference import Reference
from tests.faults.rules import Row

_TASKS: Final = """
    select task_id, state, operation, arguments, resources, exclusive_resources, shared_resources, tags, queue,
           priority, group_id, parent_id, depends_on, timeout_seconds, created_by, correlation_id, accepted_at,
           updated_at, started_at, cancel_requested_at, finished_at, partition, accepted_offset, last_offset, version,
           attempt, attempt_id, worker, cancellable, sequence, progress, result, error, retry, deadline_seconds,
           failed_attempts, retry_at, purged_at, purged_by
      from tasks where partition = %s and last_offset >= %s
"""
_HISTORY: Final = """
    select record_offset, task_id, event_id, type, event_time, broker_time, actor, effect, event, xmin::text::bigint
      from task_events where partition = %s and record_offset >= %s order by record_offset
"""
_DEAD: Final = "select record_offset, value from dead_letters where partition = %s and record_offset >= %s"
_USES: Final = """
    select k.task_id, k.accepted_at, k.resource, k.access
      from task_resources k join tasks t using (task_id) where t.partition = %s
"""
_CAUSES: Final = "select k.task_id, k.cause from task_causes k join tasks t using (task_id) where t.partition = %s"
_COUNTS: Final = "select state, operation, tasks from task_counts where partition = %s and tasks <> 0"


class Difference(NamedTuple):
    """A difference between the read model and the log. Sorts by position in the log."""

    promise: str
    partition: int
    offset: int
    what: str

    def __str__(self) -> str:
        return f"{self.promise} at partition {self.partition}, offset {self.offset}: {self.what}"


class Checked(NamedTuple):
    """What a comparison covered and found."""

    positions: Mapping[int, int]
    tasks: int
    events: int
    differences: list[Difference]


class _Rows(NamedTuple):
    """The rows of a partition in Postgres, from an offset on."""

    tasks: list[Row]
    history: list[Row]
    dead: list[Row]
    counts: list[Row]
    """The counters of all tasks."""
    uses: list[Row]
    """The resource uses of all tasks."""
    causes: list[Row]
    """The reruns of all tasks."""

    @classmethod
    def read(cls, connection: "psycopg.Connection[Row]", partition: int, start: int) -> "_Rows":
        tasks, history, dead = (
            connection.execute(query, [partition, start]).fetchall() for query in (_TASKS, _HISTORY, _DEAD)
        )
        counts, uses, causes = (
            connection.execute(query, [partition]).fetchall() for query in (_COUNTS, _USES, _CAUSES)
        )
        return cls(tasks, history, dead, counts, uses, causes)


class Checker:
    """Each `check` compares what is new since the last one; `check_all` compares everything. Positions may go back
    only if a Postgres server has died since the last check, and the rows with them.
    """

    def __init__(self, reference: Reference, postgres: str) -> None:
        self.reference = reference
        self.postgres = postgres
        self._checked = dict.fromkeys(reference.positions, 0)
        self._may_go_back = False

    def expect_rewind(self) -> None:
        """A Postgres server has died: until the next check, positions and rows may go back."""
        self._may_go_back = True

    def check(self) -> Checked:
        """Compare new records. Raises `psycopg.OperationalError` while Postgres is unreachable."""
        return self._compare(self._checked)

    def check_all(self) -> Checked:
        """Compare every row."""
        return self._compare(dict.fromkeys(self._checked, 0))

    def _compare(self, since: Mapping[int, int]) -> Checked:
        with psycopg.connect(self.postgres, row_factory=dict_row, connect_timeout=5) as connection:
            connection.execute("set transaction isolation level repeatable read, read only")
            [row] = connection.execute("select generation from active_generation").fetchall()
            connection.execute(SQL("set local search_path to {}").format(Identifier(f"generation_{row['generation']}")))
            found_positions = connection.execute("select partition, next_offset from positions").fetchall()
            positions = {row["partition"]: row["next_offset"] for row in found_positions}
            may_go_back, self._may_go_back = self._may_go_back, False
            back = {each for each, end in positions.items() if end < self._checked[each]}
            found = [] if may_go_back else [_moved_back(each, self._checked[each], positions[each]) for each in back]
            start = dict.fromkeys(since, 0) if back else since
            self.reference.advance(positions)
            tasks = events = 0
            for partition in positions:
                rows = _Rows.read(connection, partition, start[partition])
                tasks, events = tasks + len(rows.tasks), events + len(rows.history) + len(rows.dead)
                found += self._partition(partition, start[partition], rows)
        self._checked = positions
        return Checked(positions, tasks, events, sorted(found, key=lambda each: (each.partition, each.offset)))

    def _partition(self, partition: int, start: int, rows: "_Rows") -> Iterator[Difference]:
        yield from self._tasks(partition, start, rows.tasks)
        yield from self._history(partition, start, rows.history)
        yield from self._dead(partition, start, rows.dead)
        yield from self._counts(partition, rows.counts)
        yield from self._uses(partition, rows.uses)
        yield from self._causes(partition, rows.causes)
        yield from _single_writer(partition, rows.history)

    def _tasks(self, partition: int, start: int, rows: Iterable[Row]) -> Iterator[Difference]:
        expected = {
            task_id: row for task_id, row in self.reference.tasks[partition].items() if row["last_offset"] >= start
        }
        for found in map(_plain, rows):
            row = expected.pop(found["task_id"], None)
            if row is None:
                text = f"task {found['task_id']} is in Postgres; by the log it is not there, or older"
                yield Difference("I2", partition, found["last_offset"], text)
                continue
            for name, value in found.items():
                if value != row[name]:
                    text = f"task {row['task_id']}.{name}: the log says {row[name]!r:.200}, Postgres {value!r:.200}"
                    yield Difference("I2", partition, row["last_offset"], text)
        for task_id, row in expected.items():
            yield Difference("I1", partition, row["last_offset"], f"task {task_id} is not in Postgres as of here")

    def _history(self, partition: int, start: int, rows: Iterable[Row]) -> Iterator[Difference]:
        expected = {offset: entry for offset, entry in self.reference.history[partition].items() if offset >= start}
        seen: set[int] = set()
        for row in rows:
            offset = row["record_offset"]
            if offset in seen:
                yield Difference("I3", partition, offset, "the history holds this record twice")
                continue
            seen.add(offset)
            entry = expected.pop(offset, None)
            if entry is None:
                yield Difference("I2", partition, offset, "the history holds an event that the log does not")
            else:
                yield from self._entry(partition, entry, _plain(row))
        for offset, entry in expected.items():
            text = f"the history lacks a {entry.event.kind} event of task {entry.event.task_id}"
            yield Difference("I1", partition, offset, text)

    def _entry(self, partition: int, entry: Entry, row: Row) -> Iterator[Difference]:
        raw, event, effect = entry
        expected = {
            **{"task_id": event.task_id, "event_id": event.id, "type": event.type, "event_time": event.time_ms},
            **{"broker_time": raw.time_ms, "actor": event.actor, "effect": effect, "event": raw.value},
        }
        for name, value in expected.items():
            if row[name] != value:
                text = (
                    f"history of task {event.task_id}, {name}: the log says {value!r:.200}, Postgres {row[name]!r:.200}"
                )
                yield Difference("I2", partition, raw.offset, text)

    def _dead(self, partition: int, start: int, rows: Iterable[Row]) -> Iterator[Difference]:
        expected = {offset: raw for offset, raw in self.reference.dead[partition].items() if offset >= start}
        for row in rows:
            raw = expected.pop(row["record_offset"], None)
            if raw is None or raw.value != row["value"]:
                yield Difference("I2", partition, row["record_offset"], "a dead letter that the log does not hold so")
        for offset in expected:
            yield Difference("I1", partition, offset, "a record that is no event is not among the dead letters")

    def _counts(self, partition: int, rows: Iterable[Row]) -> Iterator[Difference]:
        kept = {(row["state"], row["operation"]): row["tasks"] for row in rows}
        tasks = self.reference.tasks[partition].values()
        told = Counter((row["state"], row["operation"]) for row in tasks if row["purged_at"] is None)
        for state, operation in sorted(kept.keys() | told.keys()):
            count, wanted = kept.get((state, operation), 0), told[state, operation]
            if count != wanted:
                text = f"counter of {state} {operation}: the log says {wanted}, Postgres {count}"
                yield Difference("I2", partition, self.reference.positions[partition] - 1, text)

    def _uses(self, partition: int, rows: Iterable[Row]) -> Iterator[Difference]:
        kept = Counter(
            (str(row["task_id"]), _value(row["accepted_at"]), row["resource"], row["access"]) for row in rows
        )
        told = Counter(use for row in self.reference.tasks[partition].values() for use in _uses_of(row))
        for use in sorted(kept.keys() | told.keys()):
            if kept[use] != told[use]:
                text = f"task {use[0]}, use of {use[2]} ({use[3]}): the log says {told[use]} rows, Postgres {kept[use]}"
                promise = "I1" if kept[use] < told[use] else "I2"
                yield Difference(promise, partition, self.reference.positions[partition] - 1, text)

    def _causes(self, partition: int, rows: Iterable[Row]) -> Iterator[Difference]:
        kept = {str(row["task_id"]): str(row["cause"]) for row in rows}
        for task_id, row in self.reference.tasks[partition].items():
            if kept.get(task_id) != row["rerun_of"]:
                text = f"task {task_id} runs again: the log says {row['rerun_of']}, Postgres {kept.get(task_id)}"
                promise = "I2" if task_id in kept else "I1"
                yield Difference(promise, partition, self.reference.positions[partition] - 1, text)


def _uses_of(row: Row) -> set[tuple[str, int, str, str]]:
    """The expected rows of a task's resources."""
    exclusive, shared = set(row["exclusive_resources"]), set(row["shared_resources"])
    kinds = (("e", exclusive), ("b", shared & exclusive), ("s", shared - exclusive))
    return {(row["task_id"], row["accepted_at"], key, kind) for kind, keys in kinds for key in keys}


def _single_writer(partition: int, rows: Iterable[Row]) -> Iterator[Difference]:
    """Check the order of transaction ids, which reveals interleaved transactions of two writers."""
    last = 0
    for row in rows:
        if row["xmin"] < last:
            text = f"written by transaction {row['xmin']}, after a later record by {last}: two writers interleave"
            yield Difference("I7", partition, row["record_offset"], text)
        last = row["xmin"]


def _moved_back(partition: int, before: int, after: int) -> Difference:
    return Difference("I8", partition, after, f"the position has moved back from {before}, and no server had died")


def _plain(row: Row) -> Row:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case datetime():
            return round(value.timestamp() * 1000)
        case list():
            return [_value(item) for item in value]
        case memoryview():
            return bytes(value)
        case _:
            return value
