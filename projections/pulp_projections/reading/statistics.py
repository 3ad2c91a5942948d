"""Numbers about tasks: how many there are, and what happened in a span of time; of all, or of those in a scope."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL
from pulp_events.task import State

from pulp_projections.reading.queries import Condition, parameters_of
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections.reading", "statistics.sql")


class TimeSeries(NamedTuple):
    """A span of time in steps of equal length. Every list has a number for each step."""

    times: list[datetime]
    """When each step begins."""
    accepted: list[int]
    ended: dict[State, list[int]]
    waiting: list[int]
    """How many tasks waited when the step ended; a task between two attempts counts as one that runs."""
    running: list[int]


class Durations(NamedTuple):
    """How long the tasks of an operation waited and ran, in seconds: the median, and what one in twenty exceeds."""

    operation: str
    ended: int
    failed: int
    waited_s: tuple[float, float]
    ran_s: tuple[float, float] | None
    """None if no task was started."""


async def counts(connection: AsyncConnection, scope: Sequence[Condition] = ()) -> dict[State, dict[str, int]]:
    """How many tasks are in each state, by operation; exact."""
    found: dict[State, dict[str, int]] = {state: {} for state in State}
    for state, operation, tasks in await _rows(connection, "counts_in_scope" if scope else "counts", {}, scope):
        found[State(state)][operation] = tasks
    return found


async def changes(
    connection: AsyncConnection, *, since: datetime, step: timedelta, steps: int, scope: Sequence[Condition] = ()
) -> TimeSeries:
    """What happened in this number of steps from a time on."""
    numbers: Counter[tuple[str, str | None, int]] = Counter()
    for what, time, state, number in await _rows(connection, "changes", {"since": since, "step": step}, scope):
        # Everything after the start of the last step belongs to it, even if a clock is ahead.
        place = 0 if time is None else min(steps - 1, max(0, (time - since) // step))
        numbers[what, state, place] += number

    def series(what: str, state: str | None = None) -> list[int]:
        return [numbers[what, state, place] for place in range(steps)]

    ended = {state: series("ended", state.value) for state in State}
    return TimeSeries(
        times=[since + step * place for place in range(steps)],
        accepted=series("accepted"),
        ended={state: each for state, each in ended.items() if any(each)},
        waiting=_level(numbers["waited before", None, 0], series("accepted"), series("left")),
        running=_level(numbers["ran before", None, 0], series("started"), series("stopped")),
    )


async def durations(
    connection: AsyncConnection, *, since: datetime, most: int, scope: Sequence[Condition] = ()
) -> list[Durations]:
    """By operation, for the tasks that ended since a time; at most the given number of operations, those with the
    most tasks first."""
    return [
        Durations(operation, ended, failed, _pair(waited), None if ran is None or None in ran else _pair(ran))
        for operation, ended, failed, waited, ran in await _rows(
            connection, "durations", {"since": since, "most": most}, scope
        )
    ]


async def _rows(
    connection: AsyncConnection, name: str, values: Mapping[str, Any], scope: Sequence[Condition]
) -> list[tuple[Any, ...]]:
    """The rows of a statement; it counts the tasks `t` that meet every condition of the scope."""
    within = SQL(" and ").join([SQL("true"), *(SQL(condition.sql) for condition in scope)])
    cursor = await connection.execute(SQL(_SQL[name]).format(scope=within), {**values, **parameters_of(scope)})
    return await cursor.fetchall()


def _pair(values: list[float]) -> tuple[float, float]:
    return values[0], values[1]


def _level(before: int, came: list[int], left: list[int]) -> list[int]:
    found: list[int] = []
    for plus, minus in zip(came, left, strict=True):
        before += plus - minus
        found.append(before)
    return found
