"""Pages of the audit across an archive and the history: each event once, in the one order of the log."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from pulp_projections.detached import Detached, detached
from pulp_projections.reading import audit
from pulp_projections.reading.archived import SQL_OF_ARCHIVED, ArchivedEvent, Effects, RecordArchive, next_records
from pulp_projections.reading.audit import APPLIED, IGNORED, AuditedEvent, AuditFilter, AuditPage, EventPlace
from pulp_projections.reading.queries import HISTORY_BYTES
from pulp_projections.times import clamped_ms, moment

MOST_SCANNED: Final = 100_000
"""How many records of a partition a page reads. If few events match, a page is short or empty, and the next one
continues from there.
"""


class _Scanned(NamedTuple):
    """What was found in the archive of one partition."""

    entries: list[AuditedEvent]
    reached: int
    """The offset up to which everything was scanned."""
    time: datetime
    """The time of the last record that was read."""


async def read_page(
    connection: AsyncConnection,
    wanted: AuditFilter,
    starts: Mapping[int, int],
    stops: Mapping[int, int],
    *,
    limit: int,
    archive: RecordArchive | None,
) -> AuditPage:
    """As `audit.read_page`; the events of detached months are read from the archive.

    A page may be shorter than `limit`, or empty, though `has_more` follows: see `MOST_SCANNED`.
    """
    missing = Detached((await detached(connection)).between(starts, stops, wanted.since, wanted.until))
    if not missing.months or archive is None:
        return await audit.read_page(connection, wanted, starts, stops, limit=limit)
    places = await audit.find_places(connection, wanted, starts, stops, limit)
    ends, cut_at = dict(stops), dict[int, datetime]()
    archived: dict[tuple[int, int], AuditedEvent] = {}
    for partition, stop in stops.items():
        first, last = max(starts.get(partition, 0), missing.first(partition)), min(stop - 1, missing.last(partition))
        if first > last:
            continue
        scanned = await _scan(connection, archive, missing, wanted, partition, first, last, limit)
        archived |= {(entry.partition, entry.record_offset): entry for entry in scanned.entries}
        if scanned.reached <= last:
            ends[partition] = scanned.reached
            cut_at[partition] = scanned.time
    places = [*places, *(_place(entry) for entry in archived.values())]
    before = _stops(places, ends, cut_at)
    cut = audit.cut_page((each for each in _in_order(places) if each.offset < before[each.partition]), before, limit)
    of_history = [each for each in cut.places if (each.partition, each.offset) not in archived]
    found = {(each.partition, each.record_offset): each for each in await audit.read_entries(connection, of_history)}
    entries = [(archived | found)[place.partition, place.offset] for place in cut.places]
    return AuditPage(entries, cut.following, cut.has_more or before != dict(stops))


def _in_order(places: Iterable[EventPlace]) -> list[EventPlace]:
    return sorted(places, key=lambda each: (each.partition, each.offset))


def _stops(places: Sequence[EventPlace], ends: Mapping[int, int], cut_at: Mapping[int, datetime]) -> dict[int, int]:
    """Where a page ends: in a partition whose scan has stopped, there; in all others, before anything later than
    that.

    Where a clock ran backwards, the latest time before the place where the scan stopped counts, not the time there:
    otherwise a page could end where it began.
    """
    found, latest = dict(ends), dict(cut_at)
    for place in places:
        if place.partition in latest and place.offset < ends[place.partition]:
            latest[place.partition] = max(latest[place.partition], place.time)
    time = min(latest.values(), default=None)
    for place in places if time is not None else ():
        if time is not None and place.time > time:
            found[place.partition] = min(found[place.partition], place.offset)
    return found


async def _scan(
    connection: AsyncConnection,
    archive: RecordArchive,
    missing: Detached,
    wanted: AuditFilter,
    partition: int,
    first: int,
    last: int,
    limit: int,
) -> _Scanned:
    entries: list[AuditedEvent] = []
    looked_at, left, reached, time = 0, HISTORY_BYTES, first, moment(0)
    batches = archive.read(partition, first, last + 1)
    while records := await next_records(batches):
        effects = await Effects.of(connection, partition, records[0].offset, records[-1].offset)
        events = [effects.event(each) for each in records if each.offset <= last and missing.has(each)]
        fitting = [each for each in events if each is not None and fits(wanted, each)]
        for entry in await _audited(connection, wanted, fitting):
            entries.append(entry)
            left -= len(entry.event)
            if len(entries) > limit or left < 0:
                return _Scanned(entries, entry.record_offset + 1, entry.broker_time)
        looked_at += len(records)
        reached, time = records[-1].offset + 1, _time(records[-1].timestamp_ms)
        if looked_at >= MOST_SCANNED:
            return _Scanned(entries, reached, time)
    return _Scanned(entries, last + 1, time)


def fits(wanted: AuditFilter, found: ArchivedEvent) -> bool:
    """Whether an event matches every condition that needs only the event, not its task. Pure."""
    time = _time(found.record.timestamp_ms)
    effects = {*wanted.effects}
    is_effect = not effects or found.effect in effects or (IGNORED in effects and found.effect != APPLIED)
    return (
        is_effect
        and (not wanted.actors or found.event.actor in wanted.actors)
        and (not wanted.types or found.type in wanted.types)
        and (not wanted.tasks or found.event.task_id in wanted.tasks)
        and (wanted.since is None or time >= wanted.since)
        and (wanted.until is None or time < wanted.until)
    )


async def _audited(
    connection: AsyncConnection, wanted: AuditFilter, events: Sequence[ArchivedEvent]
) -> list[AuditedEvent]:
    """The events whose tasks match, with the fields of these tasks."""
    if not events:
        return []
    clauses, values = audit.task_clauses(wanted)
    where: LiteralString = "".join(" and " + clause for clause in clauses)
    values["task_ids"] = list({each.event.task_id for each in events})
    statement = SQL_OF_ARCHIVED["tasks"].replace("{where}", where)
    rows = await (await connection.execute(statement, values)).fetchall()
    tasks: dict[UUID, tuple[Any, ...]] = {row[0]: row[1:] for row in rows}
    return [
        AuditedEvent(
            each.record.partition,
            each.record.offset,
            each.type,
            each.event.id,
            each.event.time,
            _time(each.record.timestamp_ms),
            each.event.actor,
            each.effect,
            each.record.value or b"",
            each.event.task_id,
            *tasks.get(each.event.task_id, (None, None, None)),
        )
        for each in events
        if not clauses or each.event.task_id in tasks
    ]


def _place(entry: AuditedEvent) -> EventPlace:
    return EventPlace(entry.partition, entry.record_offset, entry.broker_time, len(entry.event))


def _time(timestamp_ms: int) -> datetime:
    return moment(clamped_ms(timestamp_ms))
