"""Reading task groups: how many of their tasks are in each state, and the tasks."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed
from pulp_events.task import FINAL, State

from pulp_projections.reading import bounded
from pulp_projections.reading.queries import Condition, TaskRow, parameters_of
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections.reading", "groups.sql")
_ORDER: Final = "t.accepted_at, t.task_id"
_UNFINISHED: Final = [state.value for state in State if state not in FINAL and state is not State.CANCELLING]


class GroupRow(NamedTuple):
    """A task group."""

    group_id: UUID
    counts: dict[State, int]
    """How many of its tasks are in each state; exact."""
    tasks: list[TaskRow]
    """In order of submission, without large values; at most as many as were asked for."""


class GroupPage(NamedTuple):
    """One page of groups, and how many match in total."""

    rows: list[GroupRow]
    total: int


async def groups(
    connection: AsyncConnection,
    conditions: Sequence[Condition],
    *,
    limit: int,
    offset: int,
    most_tasks: int,
    scope: Sequence[Condition] = (),
) -> GroupPage:
    """The groups `g` that meet every condition, each with its first tasks; only of tasks `t` in the scope."""
    matching = SQL(_SQL["groups"]).format(where=_all(conditions), scope=_all(scope))
    values = {**parameters_of([*conditions, *scope]), "limit": limit, "skip": offset}
    async with _snapshot(connection):
        cursor = await connection.execute(SQL(_SQL["page"]).format(groups=matching), values)
        ids = [row[0] for row in await cursor.fetchall()]
        cursor = await connection.execute(SQL(_SQL["count"]).format(groups=matching), values)
        [(total,)] = await cursor.fetchall()
        return GroupPage(await _rows(connection, ids, most_tasks, scope), total)


async def group(
    connection: AsyncConnection, group_id: UUID, *, most_tasks: int, scope: Sequence[Condition] = ()
) -> GroupRow | None:
    """One group, of the tasks in the scope; None if no task is in it."""
    async with _snapshot(connection):
        [found] = await _rows(connection, [group_id], most_tasks, scope)
    return found if found.counts else None


async def unfinished(
    connection: AsyncConnection, group_id: UUID, *, limit: int, scope: Sequence[Condition] = ()
) -> list[TaskRow]:
    """Tasks of a group that wait or run and are in the scope, in order of submission."""
    condition = Condition(
        "t.group_id = %(group_id)s and t.state = any (%(states)s) and t.purged_at is null",
        {"group_id": group_id, "states": _UNFINISHED},
    )
    return await bounded.tasks(connection, [condition, *scope], order=_ORDER, limit=limit, wanted=frozenset())


async def of_tasks(
    connection: AsyncConnection, conditions: Sequence[Condition], *, limit: int, offset: int
) -> list[UUID]:
    """The groups of the tasks `t` that meet every condition, in the order of the first of these tasks.

    A task without a group is a group of its own.
    """
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    cursor = await connection.execute(SQL(_SQL["of_tasks"]).format(where=_all(conditions)), values)
    return [group_id for (group_id,) in await cursor.fetchall()]


@asynccontextmanager
async def _snapshot(connection: AsyncConnection) -> AsyncIterator[None]:
    """From one snapshot, so counters and tasks agree whatever is written meanwhile."""
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        yield


async def _rows(
    connection: AsyncConnection, ids: Sequence[UUID], most_tasks: int, scope: Sequence[Condition]
) -> list[GroupRow]:
    values = {**parameters_of(scope), "group_ids": list(ids), "most": most_tasks}
    counts: dict[UUID, dict[State, int]] = {group_id: {} for group_id in ids}
    for group_id, state, count in await _fetch(connection, "counts", values, scope):
        counts[group_id][State(state)] = count
    wanted = [row[0] for row in await _fetch(connection, "first_tasks", values, scope)]
    condition = Condition("t.task_id = any (%(ids)s)", {"ids": wanted})
    found = await bounded.tasks(connection, [condition], order=_ORDER, limit=max(1, len(wanted)), wanted=frozenset())
    tasks: dict[UUID | None, list[TaskRow]] = {group_id: [] for group_id in ids}
    for task in found:
        tasks[task.group_id].append(task)
    return [GroupRow(group_id, counts[group_id], tasks[group_id]) for group_id in ids]


async def _fetch(
    connection: AsyncConnection, name: str, values: dict[str, Any], scope: Sequence[Condition]
) -> list[tuple[Any, ...]]:
    statement = SQL(_SQL[name]).format(scope=_all(scope))
    return await (await connection.execute(statement, values)).fetchall()


def _all(conditions: Sequence[Condition]) -> Composed:
    return SQL(" and ").join([SQL(condition.sql) for condition in conditions] or [SQL("true")])
