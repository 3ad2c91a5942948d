"""Pulp 3's `unblocked_at`: when a task became runnable. Its filters, and the values of tasks that were read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from pulp_projections.reading.as_of import Past
from pulp_projections.reading.queries import Condition, TaskRow
from pulp_projections.reading.unblocked import UNBLOCKED_AT, unblocked_at

from pulp_api.service import Service
from pulp_api.v3.declared_filters import TIMES, ListFilter, column, flag, where

_AT: Final = UNBLOCKED_AT
_LATER: Final[Mapping[LiteralString, LiteralString]] = {"gt": ">", "gte": ">="}


def filters() -> Iterator[ListFilter]:
    """Its lookups. They work it out only where the times of acceptance and start do not decide.

    It is never later than the start, and a task that has started has one.
    """
    started: LiteralString = "t.started_at is not null"
    yield from column("unblocked_at", _AT, "exact lt lte range", TIMES, not_before="t.accepted_at")
    for lookup, comparison in _LATER.items():
        not_earlier: LiteralString = "(t.started_at is null or t.started_at " + comparison + " {value})"
        sql: LiteralString = not_earlier + " and " + _AT + " " + comparison + " {value}"
        yield from where("unblocked_at__" + lookup, sql, TIMES)
    yield from flag(
        "unblocked_at__isnull",
        "(not (" + started + ") and " + _AT + " is null)",
        "(" + started + " or " + _AT + " is not null)",
    )


def parameters(service: Service, query: Iterable[tuple[str, str]]) -> Sequence[Condition]:
    """What the filters and the order by this time need besides the values of the request; nothing for other
    requests."""
    if any("unblocked_at" in name or "unblocked_at" in value for name, value in query):
        return [Condition("true", {"unserved_s": service.unserved_s}, is_counted=True)]
    return []


async def times_of(service: Service, tasks: Iterable[TaskRow]) -> Mapping[UUID, datetime | None]:
    """The current time of each task."""
    async with service.connection() as connection:
        return await unblocked_at(connection, [task.task_id for task in tasks], unserved_s=service.unserved_s)


async def times_then(
    service: Service, connection: AsyncConnection, past: Past, tasks: Sequence[TaskRow]
) -> Mapping[UUID, datetime | None]:
    """The time of each task, as it was."""
    ids = [task.task_id for task in tasks]
    return await unblocked_at(connection, ids, unserved_s=service.unserved_s, past=past)


async def time_of(service: Service, task: TaskRow, *, as_of: datetime | None = None) -> datetime | None:
    """The time of one task; with `as_of` None if it came later than that."""
    found = (await times_of(service, [task])).get(task.task_id)
    return None if found is None or (as_of is not None and found > as_of) else found
