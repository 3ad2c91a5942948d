"""When a task became runnable, that is, needed only a worker with a free slot.

It is computed from the rows of the tasks ahead of it, so it is the same after a rebuild.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL
from psycopg.types.json import Json

from pulp_projections.reading.queries import rows_of
from pulp_projections.reading.queue import RunningOf, rooms_of
from pulp_projections.sql import load

if TYPE_CHECKING:
    from pulp_projections.reading.as_of import Past


def _expression() -> LiteralString:
    pieces = load("pulp_projections.reading", "unblocked.sql")
    plain = {name: SQL(pieces[name]) for name in ("is_before", "left_at", "waited_until")}
    waiting = {name: SQL(load("pulp_projections.reading", "waiting.sql")[name]) for name in ("aside", "passed_over")}
    aside = waiting["aside"].format(row=SQL("s"), passed_over=waiting["passed_over"].format(row=SQL("s")))
    known = {
        "is_before": plain["is_before"],
        "ended_at": SQL(pieces["ended_at"]).format(**plain, was_passed_over=SQL(pieces["was_passed_over"]).format()),
        "is_open": SQL(pieces["is_open"]).format(**plain, aside=aside),
    }
    earlier = SQL(pieces["earlier"])
    first = earlier.format(**known, bounds=SQL(pieces["first_bounds"]))
    following = earlier.format(**known, bounds=SQL(pieces["next_bounds"]))
    on_resources = SQL(pieces["on_resources"]).format(**known, first=first, next=following)
    dependencies = SQL(pieces["dependencies"]).format(**plain)
    backing_off = SQL(pieces["backing_off"]).format(**plain)
    whole = SQL(pieces["unblocked_at"]).format(
        dependencies=dependencies, on_resources=on_resources, backing_off=backing_off
    )
    return whole.as_string()


UNBLOCKED_AT: Final = _expression()
"""The SQL of the time, for a row of `tasks t`; its parameter is `unserved_s`."""
_SQL: Final = load("pulp_projections.reading", "unblocked.sql")
_TIMES: Final = SQL(_SQL["times"]).format(unblocked_at=SQL(UNBLOCKED_AT)).as_bytes()
_OF_QUEUES: Final = load("pulp_projections.reading", "queue.sql")
_LONGEST: Final = (
    SQL(_SQL["longest"])
    .format(unblocked_at=SQL(UNBLOCKED_AT), live=SQL(_OF_QUEUES["live"]), can_run=SQL(_OF_QUEUES["can_run"]))
    .as_bytes()
)
_MOST_EXAMINED: Final = 500
"""How many of the oldest waiting tasks are examined for the one that has been runnable longest."""


async def unblocked_at(
    connection: AsyncConnection, task_ids: Iterable[UUID], *, unserved_s: float, past: "Past | None" = None
) -> dict[UUID, datetime | None]:
    """When each task became runnable; None while something stops it, or if something did until it ended.

    With `past`, as of that moment.

    `unserved_s` must equal the setting of the processors.
    """
    values = {"task_ids": list(task_ids), "unserved_s": unserved_s}
    if past is not None:
        return dict(await rows_of(connection, _TIMES.decode(), values, past))
    cursor = await connection.execute(_TIMES, values)
    return dict(await cursor.fetchall())


async def longest_unblocked_s(
    connection: AsyncConnection, *, unserved_s: float, running_of: RunningOf = lambda _role, _own: None
) -> float | None:
    """How long the longest runnable task has been runnable, in seconds; None if no task is.

    Only the 500 oldest waiting tasks are examined, without those of users who may run no more tasks at once.
    """
    rooms = await rooms_of(connection, running_of)
    values = {"unserved_s": unserved_s, "most": _MOST_EXAMINED, "rooms": Json(rooms)}
    [(found,)] = await (await connection.execute(_LONGEST, values)).fetchall()
    return None if found is None else max(0.0, found)
