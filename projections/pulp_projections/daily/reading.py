"""Reading the daily statistics: how many tasks ended, how, and how long they took, by day, operation and resource."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL
from pulp_events.task import State

from pulp_projections.daily.buckets import milliseconds_of
from pulp_projections.daily.fold import Cell, cell, kind_of, rows
from pulp_projections.reading.queries import Condition, parameters_of
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections.daily", "daily.sql")
_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tasks are counted, by the day on which they ended, and how they are grouped."""

    since: date
    """The first day, in UTC."""
    until: date
    """The last day."""
    operations: Sequence[str] = ()
    """Any of these; empty means all."""
    resources: Sequence[str] = ()
    """Keys (`TYPE:ID`); tasks that use any of them."""
    by_day: bool = True
    by_operation: bool = False
    by_resource: bool = False
    """A task that uses several resources counts in the group of each."""


class Quantiles(NamedTuple):
    """What half, nine tenths and 99 hundredths of the tasks do not exceed, in seconds.

    Each differs from the exact value by at most `buckets.RELATIVE_ERROR` of it.
    """

    p50: float
    p90: float
    p99: float


class DailyGroup(NamedTuple):
    """The tasks of a group that ended. Fields that it is not grouped by are None; `resource` is None for tasks without
    resources too.
    """

    day: date | None
    operation: str | None
    resource: str | None
    tasks: int
    states: dict[State, int]
    """How they ended; states without tasks are left out."""
    waited_s: Quantiles
    """From the acceptance to the start of the last attempt, or to the end if none began."""
    ran_s: Quantiles | None
    """From that start to the end; None if no task of the group was started."""


class DailyPage(NamedTuple):
    """Some of the groups, and how many there are (0 on a page after the last)."""

    groups: list[DailyGroup]
    total: int


async def read_groups(
    connection: AsyncConnection, wanted: Wanted, *, limit: int, offset: int = 0, scope: Sequence[Condition] = ()
) -> DailyPage:
    """A page of the groups: day by day, within a day those with the most tasks first.

    With a scope, only tasks `t` in it count; this reads their own rows, since the counts do not record whose tasks they
    are.
    """
    values: dict[str, Any] = {
        **{"since": wanted.since, "until": wanted.until, "limit": limit, "skip": offset},
        **{"by_day": wanted.by_day, "by_operation": wanted.by_operation, "by_resource": wanted.by_resource},
        **{"operations": list(wanted.operations) or None, "resources": list(wanted.resources) or None},
    }
    source = "all_rows"
    if scope:
        source = "own_rows"
        values["days"] = rows(await _own_cells(connection, wanted, scope))
    statement = SQL(_SQL["summary"]).format(rows=SQL(_SQL[source]))
    found = await (await connection.execute(statement, values)).fetchall()
    return DailyPage([_group(row[:-1]) for row in found], found[0][-1] if found else 0)


async def _own_cells(connection: AsyncConnection, wanted: Wanted, scope: Sequence[Condition]) -> Counter[Cell]:
    statement = SQL(_SQL["own_tasks"].rstrip(";")).format(scope=SQL(" and ").join(SQL(each.sql) for each in scope))
    values = {"since": wanted.since, "until": wanted.until, **parameters_of(scope)}
    cells: Counter[Cell] = Counter()
    async with connection.transaction(), connection.cursor(name="own_tasks") as cursor:
        cursor.itersize = _AT_ONCE
        await cursor.execute(statement, values)
        async for operation, resources, state, *times in cursor:
            accepted, started, finished = times
            kind = kind_of(operation, tuple(resources))
            cells[cell(0, kind, State(state), (accepted, started, finished))] += 1
    return cells


def _group(row: Sequence[Any]) -> DailyGroup:
    day, operation, resource, tasks, states, waited, ran = row
    ended = {State(state): int(number) for state, number in states.items()}
    return DailyGroup(
        day, operation, resource, tasks, ended, _quantiles(waited), None if ran is None else _quantiles(ran)
    )


def _quantiles(buckets: Sequence[int]) -> Quantiles:
    p50, p90, p99 = (milliseconds_of(bucket) / 1000 for bucket in buckets)
    return Quantiles(p50, p90, p99)
