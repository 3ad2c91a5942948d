"""Reads which tasks wait: by queue, by resource, and ahead of one task."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed
from psycopg.types.json import Json
from pulp_events.task import State

from pulp_projections.reading.queries import Condition, parameters_of, rows_of
from pulp_projections.sql import load

if TYPE_CHECKING:
    from pulp_projections.reading.as_of import Past

_SQL: Final = load("pulp_projections.reading", "queue.sql")
_PIECES: Final = {
    **{name: SQL(_SQL[name]) for name in ("waiting", "uses", "live", "can_run")},
    "passed_over": SQL(_SQL["passed_over"]).format(),
    "holds": SQL(load("pulp_projections", "workers.sql")["holds"]),
}
_UNSCOPED: Final = {
    "scope": SQL("true"),
    "holders": SQL(_SQL["holders"]).format(scope=SQL("true")),
    "held": SQL("select resource from reservations"),
    "is_held_by_others": SQL("false"),
}
_MOST_BEFORE: Final = 10
"""The most tasks ahead of another one that are named."""

RunningOf = Callable[[str, str], int | None]
"""How many tasks of a user may run at once, by the user's role and own quota; None means any number."""


class QueueRow(NamedTuple):
    """One queue: its unfinished tasks, and the live workers that serve it and are not draining."""

    name: str
    runnable: int
    """Waiting tasks that need only a worker with a free slot."""
    blocked: int
    """Waiting tasks that more workers would not help: they need a resource or a dependency, or their user has reached a
    limit."""
    parked: int
    """Waiting tasks with a record that cannot be projected: they go on once somebody retries or discards it."""
    running: int
    """Tasks that occupy a slot."""
    unserved: int
    """Waiting tasks that no live worker can run, runnable or blocked."""
    oldest_at: datetime | None
    """When the task that has waited longest was accepted, not counting parked ones; None if none waits."""
    workers: int
    slots: int
    free_slots: int


class Holder(Struct, frozen=True):
    """A task that holds a resource: it is running, or about to start."""

    task_id: UUID
    state: State | None
    worker: str
    is_exclusive: bool
    since: datetime
    """When it was assigned."""


class ResourceRow(NamedTuple):
    """One resource that tasks wait for, or hold."""

    resource: str
    waiting: int
    oldest_at: datetime | None
    held_by: tuple[Holder, ...]
    """At most 20, an exclusive holder first."""
    has_others: bool
    """Tasks outside the scope hold it, or wait for it."""


class ResourcePage(NamedTuple):
    """One page of resources, and how many there are in total."""

    rows: list[ResourceRow]
    total: int


class InLine(NamedTuple):
    """One task that waits for a resource."""

    task_id: UUID
    operation: str
    queue: str
    is_exclusive: bool
    accepted_at: datetime
    is_passed_over: bool
    """Later tasks do not wait for it: nobody could run it for too long, or it is parked, or it backs off."""


class Line(NamedTuple):
    """Who holds a resource, and the first that wait for it, in order."""

    held_by: tuple[Holder, ...]
    tasks: list[InLine]
    waiting: int
    """How many wait in total."""
    has_others: bool
    """Tasks outside the scope hold it or wait for it; reported only if one in the scope does, too."""


class Before(NamedTuple):
    """The tasks ahead of a task on one of its resources."""

    resource: str
    is_exclusive: bool
    """How the task uses the resource."""
    waiting: int
    """The number of conflicting tasks that wait ahead of it."""
    tasks: list[UUID]
    """The first ten of these."""
    held_by: tuple[Holder, ...]
    has_others: bool
    """Tasks outside the scope hold it, or wait before the task."""


async def queues(
    connection: AsyncConnection,
    *,
    unserved_s: float,
    running_of: RunningOf = lambda _role, _own: None,
    scope: Sequence[Condition] = (),
    past: "Past | None" = None,
) -> list[QueueRow]:
    """Every queue that has tasks or live workers, by name. Reads each waiting task once.

    All functions here count and name tasks in the scope only; what may run is decided by all tasks. With `past` it
    shows the past, as far as events record it: running tasks hold their resources, but workers, users' limits and what
    nobody could run are unknown, so `unserved` is meaningless and slots are 0.
    """
    rooms = await rooms_of(connection, running_of, past=past)
    values = {"unserved_s": unserved_s, "rooms": Json(rooms)}
    return [QueueRow(*row) for row in await _rows(connection, "queues", values, scope, past)]


async def busiest(
    connection: AsyncConnection,
    *,
    limit: int,
    offset: int = 0,
    scope: Sequence[Condition] = (),
    past: "Past | None" = None,
) -> ResourcePage:
    """The resources, those with the most waiting tasks first. Reads each waiting task once."""
    found = await _rows(connection, "busiest", {"limit": limit, "skip": offset}, scope, past)
    rows = [ResourceRow(row[0], row[1], row[2], _holders(row[3]), row[4]) for row in found]
    return ResourcePage(rows, found[0][-1] if found else offset)


async def line_of(
    connection: AsyncConnection,
    resource: str,
    *,
    limit: int,
    unserved_s: float,
    scope: Sequence[Condition] = (),
    past: "Past | None" = None,
) -> Line:
    """Who holds and waits for a resource (TYPE:ID). Reads each waiting task once."""
    [(text, is_held_by_others)] = await _rows(connection, "held_by", {"resource": resource}, scope, past)
    values = {"resource": resource, "limit": limit, "unserved_s": unserved_s}
    found = await _rows(connection, "in_line", values, scope, past)
    held_by = _holders(text)
    total, others_wait = found[0][-2:] if found else (0, False)
    has_others = bool(found or held_by) and (is_held_by_others or others_wait)
    return Line(held_by, [InLine(*row[:-2]) for row in found], total, has_others)


async def before(
    connection: AsyncConnection, task_id: UUID, *, unserved_s: float, scope: Sequence[Condition] = ()
) -> list[Before]:
    """The tasks ahead of a task on each of its resources, by name. Reads each waiting task once."""
    values = {"task_id": task_id, "unserved_s": unserved_s, "most": _MOST_BEFORE}
    return [
        Before(resource, is_exclusive, waiting, tasks or [], _holders(text), has_others)
        for resource, is_exclusive, waiting, tasks, text, has_others in await _rows(connection, "before", values, scope)
    ]


async def rooms_of(connection: AsyncConnection, running_of: RunningOf, *, past: "Past | None" = None) -> dict[str, int]:
    """How many more tasks may run at once of each user who has a limit, by `user:NAME`."""
    rooms = {}
    for name, role, own, running in await _rows(connection, "users", {}, (), past):
        most = running_of(role, own)
        if most is not None:
            rooms[f"user:{name}"] = max(0, most - running)
    return rooms


def _holders(text: str) -> tuple[Holder, ...]:
    return msgspec.json.decode(text, type=tuple[Holder, ...])


async def _rows(
    connection: AsyncConnection,
    name: str,
    values: Mapping[str, Any],
    scope: Sequence[Condition],
    past: "Past | None" = None,
) -> list[tuple[Any, ...]]:
    statement = SQL(_SQL[name]).format(**_PIECES, **(_scoped(scope) if scope else _UNSCOPED))
    values = {**values, **parameters_of(scope)}
    if past is not None:
        return await rows_of(connection, statement.as_string(), values, past)
    cursor = await connection.execute(statement, values)
    return await cursor.fetchall()


def _scoped(scope: Sequence[Condition]) -> dict[str, Composed]:
    """The pieces of statements about tasks `t` in the scope."""
    condition = SQL(" and ").join(SQL(each.sql) for each in scope)
    pieces = {name: SQL(_SQL[name]).format(scope=condition) for name in ("holders", "held", "is_held_by_others")}
    return {"scope": condition, **pieces}
