"""The history of all tasks, page by page in the order of the log, for the audit."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.sql import SQL

from pulp_projections.detached import check_whole, detached, incomplete
from pulp_projections.reading.queries import HISTORY_BYTES
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections.reading", "audit.sql")
IGNORED: Final = "ignored"
"""Used in place of an effect: any but `applied`."""
APPLIED: Final = "applied"
MOST_TASKS: Final = 2000
"""Up to this number of matching tasks, events are looked up by task; above it, each event is checked against its task.
"""
CLOCK_SLACK: Final = timedelta(days=1)
"""Twice the largest error of the brokers' clocks; a search covers a span that is longer by this much."""
_FREQUENT: Final[LiteralString] = (
    "('org.pulpproject.task.accepted.v1', 'org.pulpproject.task.accepted.v2', 'org.pulpproject.task.started.v1',"
    " 'org.pulpproject.task.progress.v1', 'org.pulpproject.task.finished.v1')"
)
"""The conditions of the index `task_events_rare`."""
_USES: Final[LiteralString] = "(t.exclusive_resources || t.shared_resources) && %(resources)s"


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which events are wanted: those that match every field, by any of its values; an empty field matches all."""

    actors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    """As the log has them, with their versions."""
    effects: tuple[str, ...] = ()
    """`applied`, `ignored`, or reasons why events had no effect."""
    operations: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    """`TYPE:ID`."""
    tasks: tuple[UUID, ...] = ()
    groups: tuple[UUID, ...] = ()
    correlations: tuple[str, ...] = ()
    """The ids of the requests that submitted the tasks."""
    since: datetime | None = None
    """When the broker received it, by the broker's clock."""
    until: datetime | None = None
    """No event at this time or later."""


class EventPlace(NamedTuple):
    """The position of a matching event."""

    partition: int
    offset: int
    time: datetime
    size_bytes: int


class AuditedEvent(NamedTuple):
    """One event of the history, and what is known about its task; None for fields of a missing task."""

    partition: int
    record_offset: int
    type: str
    event_id: UUID
    event_time: datetime
    broker_time: datetime
    actor: str
    effect: str
    event: bytes
    task_id: UUID
    operation: str | None
    group_id: UUID | None
    correlation_id: str | None


class Cut(NamedTuple):
    """The first places of several partitions, and where each partition continues."""

    places: list[EventPlace]
    following: dict[int, int]
    has_more: bool
    """Whether more events follow before the stops."""


class AuditPage(NamedTuple):
    """Some events in the order of the log: within a partition by offset, among partitions by the broker's time."""

    entries: list[AuditedEvent]
    following: dict[int, int]
    """The next offset of each partition. Reading on from there skips nothing and repeats nothing."""
    has_more: bool


async def read_page(
    connection: AsyncConnection,
    wanted: AuditFilter,
    starts: Mapping[int, int],
    stops: Mapping[int, int],
    *,
    limit: int,
) -> AuditPage:
    """Up to `limit` matching events from `starts` on, before `stops`; fewer if they exceed `HISTORY_BYTES`.

    The stops must be projected already, so that no event can appear before them later. Raises `HistoryIncomplete` if
    matching events may no longer be in the history.
    """
    await _check_there(connection, wanted, starts, stops)
    cut = cut_page(await find_places(connection, wanted, starts, stops, limit), stops, limit)
    return AuditPage(await read_entries(connection, cut.places), cut.following, cut.has_more)


async def find_places(
    connection: AsyncConnection,
    wanted: AuditFilter,
    starts: Mapping[int, int],
    stops: Mapping[int, int],
    limit: int,
) -> list[EventPlace]:
    """The places of the first matching events of each partition, up to one more than `limit`, and whether more
    follow."""
    clauses, values = await _conditions(connection, wanted)
    where: LiteralString = "".join(" and " + clause for clause in clauses)
    parts: list[LiteralString] = [
        _SQL["places"]
        .replace("{where}", where)
        .replace("{partition}", str(int(partition)))
        .replace("{start}", str(int(starts.get(partition, 0))))
        .replace("{stop}", str(int(stop)))
        for partition, stop in sorted(stops.items())
        if starts.get(partition, 0) < stop
    ]
    rows = await _rows(connection, " union all ".join(parts), {**values, "limit": limit + 1}) if parts else []
    return [EventPlace(*row) for row in rows]


async def _check_there(
    connection: AsyncConnection, wanted: AuditFilter, starts: Mapping[int, int], stops: Mapping[int, int]
) -> None:
    months = (await detached(connection)).between(starts, stops, wanted.since, wanted.until)
    if not months:
        return
    if not wanted.tasks:
        newest = max(month.until for month in months)
        raise incomplete(months, f"they may be among those that are asked for; without them: since {newest:%Y-%m-%d}")
    for task_id in wanted.tasks:
        await check_whole(connection, task_id)


async def offsets_at(connection: AsyncConnection, time: datetime) -> dict[int, int]:
    """Partition → an offset before which nothing has this broker time or a later one.

    It may be an earlier one than needed, since brokers' clocks may have run backwards, by half of `CLOCK_SLACK`.
    """
    return await _offsets(connection, _shifted(time, -CLOCK_SLACK))


async def offsets_before(connection: AsyncConnection, time: datetime) -> dict[int, int]:
    """Partition → an offset from which on everything has a later broker time, with the same allowance."""
    found = await _offsets(connection, _shifted(time, CLOCK_SLACK))
    # It sees only attached events; any detached month may contain matches.
    for month in (await detached(connection)).months:
        if month.since is None or month.since < time:
            found |= {place.partition: max(found[place.partition], place.last + 1) for place in month.places}
    return found


def cut_page(
    places: Iterable[EventPlace], stops: Mapping[int, int], limit: int, most_bytes: int = HISTORY_BYTES
) -> Cut:
    """The first of some places by time, no more than `limit` or `most_bytes`, but at least one.

    Each partition's places are in the order of their offsets, and stay so whatever the clocks said. They are all places
    before the stop, or more than `limit`.
    """
    by_partition: dict[int, list[EventPlace]] = {partition: [] for partition in stops}
    for place in places:
        by_partition[place.partition].append(place)
    taken: list[EventPlace] = []
    left = most_bytes
    # `merge` compares the heads alone, so a partition whose clock ran backwards keeps its order.
    for place in heapq.merge(*by_partition.values(), key=lambda each: (each.time, each.partition)):
        left -= place.size_bytes
        if len(taken) == limit or (taken and left < 0):
            break
        taken.append(place)
    counts = dict.fromkeys(stops, 0)
    for place in taken:
        counts[place.partition] += 1
    following, has_more = {}, False
    for partition, found in by_partition.items():
        rest = found[counts[partition] :]
        following[partition] = rest[0].offset if rest else stops[partition]
        has_more = has_more or bool(rest)
    return Cut(taken, following, has_more)


async def read_entries(connection: AsyncConnection, places: Sequence[EventPlace]) -> list[AuditedEvent]:
    """The events at these positions of the history."""
    if not places:
        return []
    values = {
        "partitions": [each.partition for each in places],
        "offsets": [each.offset for each in places],
        "times": [each.time for each in places],
    }
    async with connection.cursor(binary=True) as cursor:  # as text an event is twice as long
        await cursor.execute(_SQL["entries"], values)
        found = {(row[0], row[1]): AuditedEvent._make(row) for row in await cursor.fetchall()}
    return [found[place.partition, place.offset] for place in places]


def _shifted(time: datetime, by: timedelta) -> datetime:
    try:
        return time + by
    except OverflowError:  # at an end of the calendar, which no broker's clock ever reached
        return time


async def _offsets(connection: AsyncConnection, time: datetime) -> dict[int, int]:
    return dict(await (await connection.execute(_SQL["since"], {"time": time})).fetchall())


async def _conditions(connection: AsyncConnection, wanted: AuditFilter) -> tuple[list[LiteralString], dict[str, Any]]:
    clauses: list[LiteralString] = []
    values: dict[str, Any] = {
        **{"actors": list(wanted.actors), "types": list(wanted.types), "since": wanted.since, "until": wanted.until},
        "effects": [effect for effect in wanted.effects if effect != IGNORED],
    }
    if wanted.actors:
        clauses.append("e.actor = any (%(actors)s)" if len(wanted.actors) > 1 else "e.actor = %(actor)s")
        values["actor"] = wanted.actors[0]
        if not any(actor.startswith("worker:") for actor in wanted.actors):
            clauses.append("e.actor not like 'worker:%%'")
    if wanted.types:
        clauses.append("e.type = any (%(types)s)")
        if not any(kind in _FREQUENT for kind in wanted.types):
            clauses.append("e.type not in " + _FREQUENT)
    if wanted.effects and not {APPLIED, IGNORED} <= {*wanted.effects}:
        if IGNORED not in wanted.effects:
            clauses.append("e.effect = any (%(effects)s)")
        if APPLIED not in wanted.effects:
            clauses.append("e.effect <> 'applied'")
    if wanted.since is not None:
        clauses.append("e.broker_time >= %(since)s")
    if wanted.until is not None:
        clauses.append("e.broker_time < %(until)s")
    clauses += await _of_tasks(connection, wanted, values)
    return clauses, values


def task_clauses(wanted: AuditFilter) -> tuple[list[LiteralString], dict[str, Any]]:
    """The condition, besides its id, on a task `t` whose events are wanted, with the values."""
    clauses: list[LiteralString] = []
    if wanted.operations:
        clauses.append("t.operation = any (%(operations)s)")
    if wanted.resources:
        clauses.append(_USES)
    if wanted.groups:
        clauses.append("t.group_id = any (%(groups)s)")
    if wanted.correlations:
        clauses.append("t.correlation_id = any (%(correlations)s)")
    return clauses, {
        **{"groups": list(wanted.groups), "operations": list(wanted.operations)},
        **{"resources": list(wanted.resources), "correlations": list(wanted.correlations)},
    }


async def _of_tasks(connection: AsyncConnection, wanted: AuditFilter, values: dict[str, Any]) -> list[LiteralString]:
    """The condition on the event's task: by its id if few tasks match, else by checking each task."""
    clauses, of_tasks = task_clauses(wanted)
    own: list[LiteralString] = ["e.task_id = any (%(tasks)s)"] if wanted.tasks else []
    values |= {"tasks": list(wanted.tasks), **of_tasks}
    if not clauses:
        return own
    of_task: LiteralString = " and ".join(clauses)
    if wanted.tasks:
        return [*own, _looked_at(of_task)]
    listed: list[LiteralString] = [
        # By its index, which lists no task that does not use the resource.
        "t.task_id in (select r.task_id from task_resources r where r.resource = any (%(resources)s))"
        if clause is _USES
        else clause
        for clause in clauses
    ]
    statement = _SQL["few_tasks"].replace("{tasks}", " and ".join(listed))
    few = [row[0] for row in await _rows(connection, statement, {**values, "most": MOST_TASKS + 1})]
    if len(few) > MOST_TASKS:
        return [_looked_at(of_task)]
    values["tasks"] = few
    return ["e.task_id = any (%(tasks)s)"]


def _looked_at(of_task: LiteralString) -> LiteralString:
    """The condition on the task as a scalar subquery, so that Postgres looks up the task by key for each event."""
    return "(select " + of_task + " from tasks t where t.task_id = e.task_id)"


async def _rows(connection: AsyncConnection, statement: LiteralString, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a statement that Postgres plans for its values."""
    text = AsyncClientCursor(connection).mogrify(SQL(statement), values).encode()
    return await (await connection.execute(text, prepare=False)).fetchall()
