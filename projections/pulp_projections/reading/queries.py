"""Reading the read model: typed rows of the views in `public`, and the filters that a list takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.sql import SQL
from pulp_events.task import Position, State

from pulp_projections.sql import load

_SQL: Final = load("pulp_projections.reading", "queries.sql")
COLUMNS: Final = _SQL["columns"]
"""What `TaskRow` is made of, of a row of `tasks t`."""


class TaskRow(Struct, frozen=True, gc=False):
    """One task, of `COLUMNS`. `arguments`, `resources`, `progress`, `result` and `error` are JSON texts."""

    task_id: UUID
    state: State
    operation: str
    arguments: str
    resources: str
    exclusive_resources: list[str]
    shared_resources: list[str]
    tags: list[str]
    queue: str
    priority: int
    group_id: UUID | None
    parent_id: UUID | None
    depends_on: list[UUID]
    timeout_seconds: int | None
    created_by: str
    correlation_id: str | None
    accepted_at: datetime
    updated_at: datetime
    started_at: datetime | None
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    partition: int
    accepted_offset: int
    last_offset: int
    version: int
    attempt: int
    worker: str | None
    cancellable: bool
    progress: str
    result: str
    error: str | None
    children: list[UUID]
    omitted: list[str] | None = None
    """Columns whose values a list had no room for, or only for a part; None: it has all."""


HISTORY_BYTES: Final = 2 * 1024 * 1024
"""A page of a history has so many bytes of events at most: it ends earlier than by its number, and `after` goes on."""


class HistoryEntry(NamedTuple):
    """One event of a task; `event` is the record's value as received."""

    partition: int
    record_offset: int
    type: str
    event_id: UUID
    event_time: datetime
    broker_time: datetime
    actor: str
    effect: str
    event: bytes


class Ancestor(NamedTuple):
    """A task that another one is made by, and what it holds."""

    task_id: UUID
    exclusive_resources: list[str]
    shared_resources: list[str]


class OperationRow(NamedTuple):
    """An operation that may be submitted."""

    name: str
    cancellable: bool
    description: str
    resources: list[dict[str, str]]
    tags: list[str] | None
    arguments: str | None = None
    """The JSON Schema of its arguments, a JSON text; None: anything is taken."""
    requires: str | None = None
    """The operation that must have succeeded on its first exclusive resource, or be under way."""
    package: str | None = None
    version: str | None = None
    registered_by: str = ""
    registered_at: datetime | None = None
    """When this declaration was first seen."""
    workers: list[dict[str, Any]] = []  # noqa: RUF012  # a NamedTuple's default, never changed
    """The live workers that offer it: `name`, `queues`, and `is_as_registered`, null where a worker does not say."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of a WHERE clause over `tasks t`, with its parameters bound by name."""

    sql: LiteralString
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_counted: bool = False
    """It asks for nothing but `t.state` and `t.operation`, as `task_counts` has them too."""
    among: tuple[LiteralString, ...] = ()
    """Subselects of `accepted_at` and `task_id` of tasks, each once, which an index gives in the order of acceptance.
    All that match are in each of them."""
    rest: LiteralString = ""
    """What has to be asked of those, so that they match."""


class Reading(NamedTuple):
    """What a list of tasks is read from."""

    source: LiteralString
    where: LiteralString
    order: LiteralString
    has_skipped: bool = False
    """What the page passes over is left out of the source already."""


async def tasks(
    connection: AsyncConnection,
    conditions: Sequence[Condition],
    *,
    order: LiteralString = "t.accepted_at desc, t.task_id desc",
    limit: int | None = None,
    offset: int = 0,
) -> list[TaskRow]:
    """The tasks for which every condition holds."""
    source, where, by, _ = reading_of(conditions, order)
    statement: LiteralString = "select " + COLUMNS + " from " + source + where
    statement += " order by " + by + " limit %(limit)s offset %(skip)s"
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    return [TaskRow(*row) for row in await rows_of(connection, statement, values)]


async def task_ids(
    connection: AsyncConnection, conditions: Sequence[Condition], *, order: LiteralString, limit: int, offset: int
) -> list[UUID]:
    """The ids of the tasks for which every condition holds."""
    source, where, by, _ = reading_of(conditions, order)
    statement: LiteralString = "select t.task_id from " + source + where
    statement += " order by " + by + " limit %(limit)s offset %(skip)s"
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    return [row[0] for row in await rows_of(connection, statement, values)]


async def rows_of(
    connection: AsyncConnection, statement: LiteralString, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Run a statement on tasks with the values written into it.

    What comes often, as a page that is looked at again and again, is prepared then, with a plan for these very values,
    until the statistics change. With parameters Postgres would plan each time, or once for any value, which is a bad
    plan where values differ in how rare they are.
    """
    cursor = await connection.execute(AsyncClientCursor(connection).mogrify(statement, values).encode())
    return await cursor.fetchall()


async def positions(connection: AsyncConnection) -> dict[int, int]:
    """Partition → next offset of what the views show."""
    cursor = await connection.execute(_SQL["positions"])
    return dict(await cursor.fetchall())


async def effect_of(connection: AsyncConnection, position: Position) -> str | None:
    """What the event at a position did: `applied`, the reason why nothing, or None if it was not projected yet."""
    cursor = await connection.execute(_SQL["effect"], {"partition": position.partition, "offset": position.offset})
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def history(
    connection: AsyncConnection, task_id: UUID, *, after: Position | None = None, limit: int = 100
) -> list[HistoryEntry]:
    """Up to `limit` events of a task in log order, after a position; none behind one that passes `HISTORY_BYTES`."""
    # With the limit in the text, and nothing said of a position, Postgres keeps the plan of a first page.
    condition, place = (SQL(""), {}) if after is None else (SQL(_SQL["after"]), after._asdict())
    statement = SQL(_SQL["history"]).format(limit=limit, after=condition, most=HISTORY_BYTES)
    async with connection.cursor(binary=True) as cursor:  # as text an event is twice as long
        await cursor.execute(statement, {"task_id": task_id, **place})
        return [HistoryEntry._make(row) for row in await cursor.fetchall()]


async def count_history(connection: AsyncConnection, task_id: UUID) -> int | None:
    """How many events a task has; None if there is no such task."""
    cursor = await connection.execute(_SQL["history_count"], {"task_id": task_id})
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def operations(connection: AsyncConnection) -> list[OperationRow]:
    """All operations that any worker has registered, by name."""
    cursor = await connection.execute(SQL(_SQL["operations"]).format(condition=SQL("true")))
    return [OperationRow(*row) for row in await cursor.fetchall()]


async def operation(connection: AsyncConnection, name: str) -> OperationRow | None:
    """One operation, or None if no worker has registered it."""
    statement = SQL(_SQL["operations"]).format(condition=SQL("o.name = %(name)s"))
    cursor = await connection.execute(statement, {"name": name})
    row = await cursor.fetchone()
    return None if row is None else OperationRow(*row)


async def remembered(connection: AsyncConnection, operation: str, resource: str, name: str) -> list[Any]:
    """The values of an argument in the newest tasks of an operation on a resource (`TYPE:ID`), newest first."""
    values = {"operation": operation, "resource": resource, "name": name}
    cursor = await connection.execute(_SQL["remembered"], values)
    return [msgspec.json.decode(text)[name] for (text,) in await cursor.fetchall()]


async def has_run(connection: AsyncConnection, operation: str, resource: str) -> bool:
    """Whether an operation was successful on a resource (`TYPE:ID`), or has yet to end there."""
    cursor = await connection.execute(_SQL["has_run"], {"operation": operation, "resource": resource})
    [(found,)] = await cursor.fetchall()
    return bool(found)


async def known_tasks(connection: AsyncConnection, task_ids: Sequence[UUID]) -> set[UUID]:
    """Which of the ids are tasks."""
    cursor = await connection.execute(_SQL["known_tasks"], {"task_ids": list(task_ids)})
    return {row[0] for row in await cursor.fetchall()}


async def unfinished_ancestors(connection: AsyncConnection, task_id: UUID) -> list[Ancestor]:
    """Of the task and all that it is a child of, those that have not ended."""
    cursor = await connection.execute(_SQL["unfinished_ancestors"], {"task_id": task_id})
    return [Ancestor(*row) for row in await cursor.fetchall()]


def raw(text: str | None) -> Raw | None:
    """A JSON text, to be put into a larger one as it is."""
    return None if text is None else Raw(text.encode())


def tasks_among(among: Sequence[LiteralString], parameters: Mapping[str, Any], rest: LiteralString = "") -> Condition:
    """The condition that a task is in each of these, and that the rest holds."""
    texts: list[LiteralString] = ["t.task_id in (select r.task_id from " + each + " r)" for each in among]
    sql: LiteralString = " and ".join([*texts, rest] if rest else texts)
    return Condition(sql, parameters, among=tuple(among), rest=rest)


def reading_of(conditions: Sequence[Condition], order: LiteralString) -> Reading:
    """Where to read the tasks for which every condition holds.

    Conditions that name the tasks which they are about are not asked of all tasks: those are read, in the order of
    their index. The join is an outer one, so that Postgres leaves it out where nothing of the tasks is wanted.
    """
    among = [each for condition in conditions for each in condition.among]
    texts = [condition.rest if condition.among else condition.sql for condition in conditions]
    where = _where([text for text in texts if text])
    if not among:
        return Reading("tasks t", where, order)
    by_index = order.replace("t.accepted_at", "r.accepted_at").replace("t.task_id", "r.task_id")
    return Reading(in_each(among) + " left join tasks t on t.task_id = r.task_id", where, by_index)


def in_each(among: Sequence[LiteralString]) -> LiteralString:
    """A FROM clause with `r.accepted_at` and `r.task_id` of what is in each of the subselects."""
    others = [
        " join " + each + " r" + "r" * place + " using (accepted_at, task_id)"
        for place, each in enumerate(among)
        if place
    ]
    return among[0] + " r" + "".join(others)


def _where(texts: Sequence[LiteralString]) -> LiteralString:
    return " where " + " and ".join(texts) if texts else ""


def parameters_of(conditions: Sequence[Condition]) -> dict[str, Any]:
    """The parameters of all conditions."""
    return {name: value for condition in conditions for name, value in condition.parameters.items()}
