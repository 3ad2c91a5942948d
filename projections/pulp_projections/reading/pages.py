"""A page of the list of tasks, with the number of matches and the positions that it shows, from one statement."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

import msgspec
from psycopg import AsyncConnection
from psycopg.sql import SQL

from pulp_projections.reading import bounded
from pulp_projections.reading.bounded import EVERYTHING, behind, row_of, tasks_sql
from pulp_projections.reading.queries import (
    Condition,
    TaskReading,
    TaskRow,
    parameters_of,
    reading_of,
    rows_of,
)
from pulp_projections.sql import load

if TYPE_CHECKING:
    from pulp_projections.reading.as_of import Past

_SQL: Final = load("pulp_projections.reading", "pages.sql")
EXACT_UP_TO: Final = 10_000
"""Without counters, up to this number of matches is counted; a larger number is estimated."""
_decode_positions: Final = msgspec.json.Decoder(dict[int, int]).decode
_ESTIMATED_S: Final = 10.0
_MOST_ESTIMATES: Final = 1000
_Key = tuple[TaskReading, str]


class Page(NamedTuple):
    """A page, all from one moment."""

    rows: list[TaskRow]
    total: int
    """How many tasks match, on all pages together."""
    is_estimate: bool
    """Whether `total` is an estimate: above `EXACT_UP_TO`, and at least what the page shows."""
    shown: dict[int, int]
    """Partition → next offset."""


class _Estimate(NamedTuple):
    total: int
    ends_s: float


class Pages:
    """Reads pages. An estimate is kept for a while, so that a filter with many matches is not counted each time."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._estimates: dict[_Key, _Estimate] = {}

    async def read(
        self,
        connection: AsyncConnection,
        conditions: Sequence[Condition],
        *,
        order: LiteralString,
        limit: int,
        offset: int,
        wanted: frozenset[str] = EVERYTHING,
        past: "Past | None" = None,
    ) -> Page:
        """The page of the tasks for which every condition holds, with the wanted columns of `bounded.WIDE`.

        With `past` it is the page as it was then.
        """
        if past is not None:
            return await _page_then(connection, past, conditions, order, limit, offset, wanted)
        reading = reading_of(conditions, order)
        parameters = parameters_of(conditions)
        key = (reading, repr(parameters))
        known = self._known(key)
        way: LiteralString = "counters" if _have_counters(conditions) else "up_to" if known is None else "not_at_all"
        values = {**parameters, "limit": limit, "skip": offset, "most": EXACT_UP_TO + 1}

        async def found_by(form: str) -> list[tuple[Any, ...]]:
            tasks = behind(reading, offset)
            return await rows_of(connection, _statement(form, reading, tasks, way, limit, wanted), values)

        found = await found_by("page") or await found_by("empty")
        rows = [row_of(row[2:]) for row in found if row[2] is not None]
        count = found[0][1]
        shown = {} if found[0][0] is None else _decode_positions(found[0][0])
        if way == "counters" or (count is not None and count <= EXACT_UP_TO):
            return Page(rows, count, False, shown)
        if len(rows) < limit and (rows or not offset):
            return Page(rows, offset + len(rows), False, shown)  # the last page ends at the total
        estimate = known or await self._estimate(connection, parameters, key)
        return Page(rows, max(estimate, offset + len(rows) + 1), True, shown)

    def _known(self, key: _Key) -> int | None:
        found = self._estimates.get(key)
        return found.total if found is not None and found.ends_s > self._clock_s() else None

    async def _estimate(self, connection: AsyncConnection, parameters: Mapping[str, Any], key: _Key) -> int:
        cursor = await connection.execute(_estimate_sql(key[0]), parameters, prepare=False)
        row = await cursor.fetchone()
        assert row is not None
        estimate = max(int(row[0][0]["Plan"]["Plan Rows"]), EXACT_UP_TO + 1)
        if len(self._estimates) >= _MOST_ESTIMATES:
            self._estimates.clear()
        self._estimates[key] = _Estimate(estimate, self._clock_s() + _ESTIMATED_S)
        return estimate


async def _page_then(
    connection: AsyncConnection,
    past: "Past",
    conditions: Sequence[Condition],
    order: LiteralString,
    limit: int,
    offset: int,
    wanted: frozenset[str],
) -> Page:
    """A page of tasks as of a moment; without counters for it, the number is exact only up to `EXACT_UP_TO`."""
    rows = await bounded.tasks(
        connection, conditions, order=order, limit=limit, offset=offset, wanted=wanted, past=past
    )
    reading, values = reading_of(conditions, order), {**parameters_of(conditions), "most": EXACT_UP_TO + 1}
    count = SQL(_SQL["up_to"]).format(source=SQL(reading.source), where=SQL(reading.where)).as_string()
    [(total,)] = await rows_of(connection, count, values, past)
    is_more = total > EXACT_UP_TO
    return Page(rows, max(total, offset + len(rows) + 1) if is_more else total, is_more, dict(past.moment.stops))


def _have_counters(conditions: Sequence[Condition]) -> bool:
    return all(each.is_counted for each in conditions) and any(each.is_implied for each in conditions)


@lru_cache(maxsize=256)
def _statement(
    form: str,
    reading: TaskReading,
    tasks: TaskReading,
    way: LiteralString,
    limit: int,
    wanted: frozenset[str],
) -> LiteralString:
    where = reading.counted if way == "counters" else reading.where
    count = SQL(_SQL[way]).format(source=SQL(reading.source), where=SQL(where))
    whole = SQL(_SQL["whole"]).format(count=count)
    return SQL(_SQL[form]).format(whole=whole, tasks=SQL(tasks_sql(tasks, limit, wanted))).as_string()


def _estimate_sql(reading: TaskReading) -> bytes:
    return SQL(_SQL["estimate"]).format(source=SQL(reading.source), where=SQL(reading.where)).as_bytes()
