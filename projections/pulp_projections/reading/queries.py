"""Reading the read model: typed rows of the views in `public`, and the conditions of a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple, Protocol
from uuid import UUID

import msgspec
from msgspec.structs import asdict
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.sql import SQL
from pulp_events.events import Retry
from pulp_events.task import Position, State, Task

from pulp_projections.detached import check_whole, detached_of
from pulp_projections.reading.archived import ArchivedEvent, RecordArchive, events_of_task
from pulp_projections.sql import load
from pulp_projections.stored_tasks import decoder
from pulp_projections.task_columns import COLUMNS as TABLE
from pulp_projections.task_columns import SQL_LISTS
from pulp_projections.times import clamped_ms, moment

_SQL: Final = load("pulp_projections.reading", "queries.sql", SQL_LISTS)
SHOWN_PARENT: Final = (
    "(select p.task_id from tasks p where p.task_id = t.parent_id and p.purged_at is null) as parent_id"
)
"""The parent of a task of `tasks t`, unless it is purged."""
COLUMNS: Final = _SQL["columns"].replace(",t.parent_id,", "," + SHOWN_PARENT + ",")
"""What `row_of` decodes, from a row of `tasks t`."""


class TaskRow(Task, frozen=True, kw_only=True, gc=False):
    """A task as readers get it: with the derived columns, and with its children."""

    exclusive_resources: tuple[str, ...]
    shared_resources: tuple[str, ...]
    children: list[UUID]
    """In the order of acceptance."""
    omitted: list[str] | None = None
    """The columns whose values a list omitted or truncated for lack of room; None if complete."""


row_of: Final = decoder(TaskRow, TABLE, "children")
"""The task of a row of `COLUMNS`."""


def task_row(task: Task, children: list[UUID]) -> TaskRow:
    """The task with its children."""
    derived = {each.name: each.derive(getattr(task, each.source)) for each in TABLE if each.derive is not None}
    return TaskRow(**asdict(task), **derived, children=children)


HISTORY_BYTES: Final = 2 * 1024 * 1024
"""The most bytes of events on a page of a history; a page that reaches it is shorter, and `after` continues it."""


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
    """A task that submitted another one, directly or not, and the resources that it holds."""

    task_id: UUID
    exclusive_resources: list[str]
    shared_resources: list[str]


class OperationRow(NamedTuple):
    """An operation that can be submitted."""

    name: str
    cancellable: bool
    description: str
    resources: list[dict[str, str]]
    tags: list[str] | None
    arguments: str | None = None
    """The JSON Schema of its arguments, as text; None: any arguments are accepted."""
    requires: str | None = None
    """The operation that must have succeeded on its first exclusive resource, or be unfinished there."""
    package: str | None = None
    version: str | None = None
    registered_by: str = ""
    registered_at: datetime | None = None
    """When this declaration was first seen."""
    workers: list[dict[str, Any]] = []  # noqa: RUF012  # a NamedTuple's default, never changed
    """The live workers that offer it: `name`, `queues`, and `is_as_registered`, null if a worker does not say."""
    retry: Retry | None = None
    """The retries of a submission that does not set them."""
    deadline_seconds: int | None = None
    """The deadline of a submission that does not set it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of a WHERE clause over `tasks t`, with its parameters bound by name."""

    sql: LiteralString
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_counted: bool = False
    """Whether it is about `t.state` and `t.operation` only, which `task_counts` has as well."""
    among: tuple[LiteralString, ...] = ()
    """Subselects of `accepted_at` and `task_id`, each task once, which an index returns in the order of acceptance.
    Every match is in all of them."""
    rest: LiteralString = ""
    """What tasks in all of `among` must also satisfy to match."""
    by_key: LiteralString = ""
    """The same for a task `r.task_id` accepted at `r.accepted_at`, for a reading in which an index lists the tasks."""
    is_implied: bool = False
    """Whether it holds for all tasks that `task_counts` counts."""


FIRST_SHOWN: Final[LiteralString] = (
    "(select s.accepted_at from tasks s where s.purged_at is null order by s.accepted_at, s.task_id limit 1)"
)
"""When the first task that is not purged was accepted. Most purges take the oldest tasks, so listing the tasks of a
resource need not go back any further."""
SHOWN: Final = Condition(
    "t.purged_at is null",
    is_counted=True,
    is_implied=True,
    by_key="r.accepted_at >= " + FIRST_SHOWN + " and not exists (select from tasks p"
    " where p.accepted_at = r.accepted_at and p.task_id = r.task_id and p.purged_at is not null"
    " and p.accepted_at >= " + FIRST_SHOWN + ")",
)
"""The condition that a task is not purged."""
PURGED: Final = Condition("t.purged_at is not null")
"""The condition that a task is purged."""


class TaskReading(NamedTuple):
    """The FROM clause of a list of tasks."""

    source: LiteralString
    where: LiteralString
    order: LiteralString
    """By columns of the source's first table, whose index has the order."""
    task_order: LiteralString
    """The same by columns of `tasks t`."""
    has_skipped: bool = False
    """Whether the source already leaves out the tasks before the page."""
    counted: LiteralString = ""
    """The same conditions on `task_counts t`, if it has the columns they need."""


async def tasks(
    connection: AsyncConnection,
    conditions: Sequence[Condition],
    *,
    order: LiteralString = "t.accepted_at desc, t.task_id desc",
    limit: int | None = None,
    offset: int = 0,
) -> list[TaskRow]:
    """The tasks for which every condition holds."""
    reading = reading_of(conditions, order)
    statement: LiteralString = "select " + COLUMNS + " from " + reading.source + reading.where
    statement += " order by " + reading.order + " limit %(limit)s offset %(skip)s"
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    return [row_of(row) for row in await rows_of(connection, statement, values)]


async def task_ids(
    connection: AsyncConnection, conditions: Sequence[Condition], *, order: LiteralString, limit: int, offset: int
) -> list[UUID]:
    """The ids of the tasks for which every condition holds."""
    reading = reading_of(conditions, order)
    statement: LiteralString = "select t.task_id from " + reading.source + reading.where
    statement += " order by " + reading.order + " limit %(limit)s offset %(skip)s"
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    return [row[0] for row in await rows_of(connection, statement, values)]


class TablesThen(Protocol):
    """The tables as of a moment, which a statement reads instead of the current ones."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The parameters that `around` adds."""

    def around(self, statement: LiteralString) -> LiteralString:
        """The statement on those tables."""


async def rows_of(
    connection: AsyncConnection, statement: LiteralString, values: Mapping[str, Any], past: TablesThen | None = None
) -> list[tuple[Any, ...]]:
    """Run a statement on tasks with the values written into its text; with `past` on tasks as they were.

    A statement that is repeated, such as for a page that is polled, is prepared with a plan for its values. With
    parameters, Postgres would plan it each time, or once for all values, though rare values need another plan than
    frequent ones.
    """
    if past is None:
        cursor = await connection.execute(AsyncClientCursor(connection).mogrify(statement, values).encode())
    else:  # every moment has another statement, so preparing it would not help
        text = AsyncClientCursor(connection).mogrify(past.around(statement), {**values, **past.values})
        cursor = await connection.execute(text.encode(), prepare=False)
    return await cursor.fetchall()


async def positions(connection: AsyncConnection) -> dict[int, int]:
    """Partition → the next offset after what the views show."""
    cursor = await connection.execute(_SQL["positions"])
    return dict(await cursor.fetchall())


async def effect_of(connection: AsyncConnection, position: Position) -> str | None:
    """The effect of the event at a position: `applied`, or the reason for none; None if it is not projected yet."""
    cursor = await connection.execute(_SQL["effect"], {"partition": position.partition, "offset": position.offset})
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def history(
    connection: AsyncConnection,
    task_id: UUID,
    *,
    after: Position | None = None,
    limit: int = 100,
    archive: RecordArchive | None = None,
) -> list[HistoryEntry]:
    """Up to `limit` events of a task in log order, after a position; fewer if they exceed `HISTORY_BYTES`.

    Events that are no longer in the history are read from `archive`; without one it raises `HistoryIncomplete`.
    """
    missing = await detached_of(connection, task_id)
    if missing.months and archive is None:
        await check_whole(connection, task_id)
    # With the limit in the text and no position, Postgres keeps the plan of a first page.
    condition, place = (SQL(""), {}) if after is None else (SQL(_SQL["after"]), after._asdict())
    statement = SQL(_SQL["history"]).format(limit=limit, after=condition, most=HISTORY_BYTES)
    async with connection.cursor(binary=True) as cursor:  # as text an event is twice as long
        await cursor.execute(statement, {"task_id": task_id, **place})
        found = [HistoryEntry._make(row) for row in await cursor.fetchall()]
    if not missing.months or archive is None:
        return found
    archived: list[HistoryEntry] = []
    async for event in events_of_task(connection, archive, missing, task_id, after):
        archived.append(_archived(event))
        if _is_cut(archived, limit):
            break
    # After a truncated list, nothing beyond its last entry is returned, since others may come before that.
    cuts = [each[-1] for each in (archived, found) if _is_cut(each, limit)]
    last = min(((each.partition, each.record_offset) for each in cuts), default=None)
    entries = sorted([*archived, *found], key=lambda each: (each.partition, each.record_offset))
    return [each for each in entries if last is None or (each.partition, each.record_offset) <= last][:limit]


def _is_cut(entries: Sequence[HistoryEntry], limit: int) -> bool:
    return len(entries) >= limit or sum(len(each.event) for each in entries) >= HISTORY_BYTES


def _archived(found: ArchivedEvent) -> HistoryEntry:
    record, event = found.record, found.event
    return HistoryEntry(
        partition=record.partition,
        record_offset=record.offset,
        type=found.type,
        event_id=event.id,
        event_time=event.time,
        broker_time=moment(clamped_ms(record.timestamp_ms)),
        actor=event.actor,
        effect=found.effect,
        event=record.value or b"",
    )


async def count_history(connection: AsyncConnection, task_id: UUID) -> int | None:
    """The number of a task's events; None if the task does not exist."""
    cursor = await connection.execute(_SQL["history_count"], {"task_id": task_id})
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def operations(connection: AsyncConnection) -> list[OperationRow]:
    """All operations that any worker has registered, by name."""
    cursor = await connection.execute(SQL(_SQL["operations"]).format(condition=SQL("true")))
    return [_operation(row) for row in await cursor.fetchall()]


async def operation(connection: AsyncConnection, name: str) -> OperationRow | None:
    """One operation, or None if no worker has registered it."""
    statement = SQL(_SQL["operations"]).format(condition=SQL("o.name = %(name)s"))
    cursor = await connection.execute(statement, {"name": name})
    row = await cursor.fetchone()
    return None if row is None else _operation(row)


def _operation(row: Sequence[Any]) -> OperationRow:
    found = OperationRow._make(row)
    return found if found.retry is None else found._replace(retry=msgspec.convert(found.retry, Retry))


async def remembered(connection: AsyncConnection, operation: str, resource: str, name: str) -> list[Any]:
    """The values of an argument in the newest tasks of an operation on a resource (`TYPE:ID`), newest first."""
    values = {"operation": operation, "resource": resource, "name": name}
    cursor = await connection.execute(_SQL["remembered"], values)
    return [msgspec.json.decode(text)[name] for (text,) in await cursor.fetchall()]


async def has_run(connection: AsyncConnection, operation: str, resource: str) -> bool:
    """Whether a task of an operation on a resource (`TYPE:ID`) succeeded, or has not ended yet."""
    cursor = await connection.execute(_SQL["has_run"], {"operation": operation, "resource": resource})
    [(found,)] = await cursor.fetchall()
    return bool(found)


async def is_purged(connection: AsyncConnection, task_id: UUID) -> bool:
    """Whether the task exists and is purged."""
    cursor = await connection.execute(_SQL["is_purged"], {"task_id": task_id})
    return bool(await cursor.fetchall())


async def known_tasks(connection: AsyncConnection, task_ids: Sequence[UUID]) -> set[UUID]:
    """Which of the ids are tasks."""
    cursor = await connection.execute(_SQL["known_tasks"], {"task_ids": list(task_ids)})
    return {row[0] for row in await cursor.fetchall()}


async def states_of(connection: AsyncConnection, task_ids: Sequence[UUID]) -> dict[UUID, State]:
    """The states of those of these tasks that exist."""
    cursor = await connection.execute(_SQL["states"], {"task_ids": list(task_ids)})
    return {task_id: State(state) for task_id, state in await cursor.fetchall()}


async def counts_by(
    connection: AsyncConnection, expression: LiteralString, conditions: Sequence[Condition]
) -> dict[str, int]:
    """How many of the tasks for which every condition holds have each value of an expression over `tasks t`."""
    statement: LiteralString = "select " + expression + ", count(*) from tasks t"
    statement += _where([condition.sql for condition in conditions]) + " group by 1"
    return dict(await rows_of(connection, statement, parameters_of(conditions)))


async def unfinished_since(connection: AsyncConnection, ended_since: datetime) -> datetime | None:
    """The earliest acceptance of the tasks that have not ended, or have ended since then; None if there are none."""
    cursor = await connection.execute(_SQL["unfinished_since"], {"ended_since": ended_since})
    [(found,)] = await cursor.fetchall()
    assert found is None or isinstance(found, datetime)
    return found


async def unfinished_ancestors(connection: AsyncConnection, task_id: UUID) -> list[Ancestor]:
    """The task and its ancestors, up to the first that has ended."""
    cursor = await connection.execute(_SQL["unfinished_ancestors"], {"task_id": task_id})
    return [Ancestor(*row) for row in await cursor.fetchall()]


def tasks_among(among: Sequence[LiteralString], parameters: Mapping[str, Any], rest: LiteralString = "") -> Condition:
    """The condition that a task is in each of these subselects, and that `rest` holds."""
    texts: list[LiteralString] = ["t.task_id in (select r.task_id from " + each + " r)" for each in among]
    sql: LiteralString = " and ".join([*texts, rest] if rest else texts)
    return Condition(sql, parameters, among=tuple(among), rest=rest)


def reading_of(conditions: Sequence[Condition], order: LiteralString) -> TaskReading:
    """Where to read the tasks for which every condition holds.

    If conditions list their tasks (`among`), those lists are read first, in the order of their index. The join is an
    outer one, so that Postgres leaves it out if no column of the tasks is wanted.
    """
    among = [each for condition in conditions for each in condition.among]
    if not among:
        counted = _where([condition.sql for condition in conditions if not condition.is_implied])
        return TaskReading(
            "tasks t", _where([condition.sql for condition in conditions]), order, order, counted=counted
        )
    texts = [each.rest if each.among else each.by_key or each.sql for each in conditions]
    where = _where([text for text in texts if text])
    by_index = order.replace("t.accepted_at", "r.accepted_at").replace("t.task_id", "r.task_id")
    return TaskReading(in_each(among) + " left join tasks t on t.task_id = r.task_id", where, by_index, order)


def in_each(among: Sequence[LiteralString]) -> LiteralString:
    """A FROM clause with `r.accepted_at` and `r.task_id` of the tasks that are in each of the subselects."""
    [first, *others] = among
    joins = [f" join {each} r{number} using (accepted_at, task_id)" for number, each in enumerate(others, 2)]
    return first + " r" + "".join(joins)


def _where(texts: Sequence[LiteralString]) -> LiteralString:
    return " where " + " and ".join(texts) if texts else ""


def parameters_of(conditions: Sequence[Condition]) -> dict[str, Any]:
    """The parameters of all conditions."""
    return {name: value for condition in conditions for name, value in condition.parameters.items()}
