"""The fold of the daily statistics: what the tasks that end in a batch add to the counts. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from pulp_events.task import State, Task

from pulp_projections.daily.buckets import bucket_of
from pulp_projections.times import clamped_ms

NEVER_RAN: Final = -1
"""The bucket of the run time of a task that no attempt had."""
_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_json: Final = msgspec.json.Encoder().encode


class Kind(NamedTuple):
    """The common properties of tasks that are counted together, with a key of fixed length for the index."""

    key: UUID
    operation: str
    resources: tuple[str, ...]
    """The keys of the resources that they use in any mode, each once, in order."""


class Cell(NamedTuple):
    """What one row counts: tasks of a kind that ended on a day in a state, and waited and ran for about as long."""

    partition: int
    day: int
    """Days since 1970 in UTC."""
    kind: Kind
    state: State
    waited: int
    """The bucket of the time from the acceptance to the start of the last attempt, or to the end if there was none."""
    ran: int
    """The bucket of the time from that start to the end, or `NEVER_RAN`."""


def added(created: Iterable[Task], updated: Iterable[Task], known: Mapping[UUID, Task]) -> Counter[Cell]:
    """The increments of cells; `known` are the tasks as they were before.

    A task counts once, when it ends; a later purge takes nothing away.
    """
    cells: Counter[Cell] = Counter()
    for task in created:
        if task.finished_at_ms is not None:
            cells[cell_of(task)] += 1
    for task in updated:
        if task.finished_at_ms is not None and known[task.task_id].finished_at_ms is None:
            cells[cell_of(task)] += 1
    return cells


def cell_of(task: Task) -> Cell:
    """The cell that counts a task that has ended."""
    resources = tuple(resource.key for resource in task.resources)
    assert task.finished_at_ms is not None  # it has ended
    return cell(
        task.partition,
        kind_of(task.operation, resources),
        task.state,
        (task.accepted_at_ms, task.started_at_ms, task.finished_at_ms),
    )


def cell(partition: int, kind: Kind, state: State, times_ms: tuple[int, int | None, int]) -> Cell:
    """The cell of a task by the times of its acceptance, of the start of its last attempt, and of its end."""
    accepted, started, finished = (None if time is None else clamped_ms(time) for time in times_ms)
    assert accepted is not None
    assert finished is not None
    waited = (finished if started is None else started) - accepted
    ran = NEVER_RAN if started is None else bucket_of(finished - started)
    return Cell(partition, finished // _DAY_MS, kind, state, bucket_of(waited), ran)


@lru_cache(maxsize=4096)  # many tasks are alike
def kind_of(operation: str, resources: tuple[str, ...]) -> Kind:
    """The kind of tasks that run this operation on these resources, regardless of order and repetition."""
    used = tuple(sorted(set(resources)))
    digest = hashlib.sha256(_json([operation, *used])).digest()
    return Kind(UUID(bytes=digest[:16]), operation, used)


def rows(cells: Mapping[Cell, int]) -> str:
    """The parameter `days` of the statements in `daily.sql`."""
    return _json([_row(cell, number) for cell, number in cells.items()]).decode() if cells else "[]"


def _row(cell: Cell, tasks: int) -> Mapping[str, Any]:
    return {
        "partition": cell.partition,
        "day": _day(cell.day),
        "kind": cell.kind.key,
        "state": cell.state,
        "waited": cell.waited,
        "ran": cell.ran,
        "tasks": tasks,
        "operation": cell.kind.operation,
        "resources": cell.kind.resources,
    }


@lru_cache(maxsize=64)
def _day(day: int) -> str:
    return date.fromordinal(_EPOCH_DAY + day).isoformat()
