"""Numbers about all tasks: how many there are, and what happened in a span of time."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from pulp_events.task import State

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


async def counts(connection: AsyncConnection) -> dict[State, dict[str, int]]:
    """How many tasks are in each state, by operation; exact."""
    found: dict[State, dict[str, int]] = {state: {} for state in State}
    for state, operation, tasks in await (await connection.execute(_SQL["counts"])).fetchall():
        found[State(state)][operation] = tasks
    return found


async def changes(connection: AsyncConnection, *, since: datetime, step: timedelta, steps: int) -> TimeSeries:
    """What happened in this number of steps from a time on."""
    cursor = await connection.execute(_SQL["changes"], {"since": since, "step": step})
    numbers: Counter[tuple[str, str | None, int]] = Counter()
    for what, time, state, number in await cursor.fetchall():
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


async def durations(connection: AsyncConnection, *, since: datetime, most: int) -> list[Durations]:
    """By operation, for the tasks that ended since a time; at most the given number of operations, those with most
    tasks first."""
    cursor = await connection.execute(_SQL["durations"], {"since": since, "most": most})
    return [
        Durations(operation, ended, failed, _pair(waited), None if ran is None or None in ran else _pair(ran))
        for operation, ended, failed, waited, ran in await cursor.fetchall()
    ]


def _pair(values: list[float]) -> tuple[float, float]:
    return values[0], values[1]


def _level(before: int, came: list[int], left: list[int]) -> list[int]:
    found: list[int] = []
    for plus, minus in zip(came, left, strict=True):
        before += plus - minus
        found.append(before)
    return found
