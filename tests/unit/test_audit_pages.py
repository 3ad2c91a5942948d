"""Pages of the audit: whatever arrives between them, each event is on one page, in the order of its partition."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from psycopg import AsyncConnection
from pulp_api.archived import DetachedRecords
from pulp_events.codec import encode, key_of
from pulp_events.reader import Record
from pulp_projections.detached import Detached, DetachedMonth, Places
from pulp_projections.reading import archived_pages, audit
from pulp_projections.reading.archived import ArchivedEvent, Effects
from pulp_projections.reading.audit import AuditedEvent, AuditFilter, EventPlace, cut_page

from tests.support.archives import archived
from tests.support.events import TASK, started

START = datetime(2026, 11, 24, tzinfo=UTC)


def place(partition: int, offset: int, second: int, size: int = 1) -> EventPlace:
    return EventPlace(partition, offset, START + timedelta(seconds=second), size)


class Log:
    """Partitions that grow and whose clocks may run backwards; some of their events match."""

    def __init__(self, chance: random.Random, partitions: int) -> None:
        self.chance, self.events = chance, [list[tuple[EventPlace, bool]]() for _ in range(partitions)]

    def grow(self) -> None:
        for partition, events in enumerate(self.events):
            for _ in range(self.chance.randrange(4)):
                made = place(partition, len(events), self.chance.randrange(50), self.chance.randrange(1, 9))
                events.append((made, self.chance.random() < 0.6))

    def ends(self) -> dict[int, int]:
        return {partition: len(events) for partition, events in enumerate(self.events)}

    def matching(self) -> list[list[EventPlace]]:
        return [[made for made, fits in events if fits] for events in self.events]


@pytest.mark.parametrize("seed", range(50))
def test_no_event_is_skipped_or_repeated_while_events_arrive(seed: int) -> None:
    chance = random.Random(seed)
    log = Log(chance, chance.randrange(1, 5))
    limit, most_bytes = chance.randrange(1, 6), chance.choice([3, 1000])
    told: list[EventPlace] = []
    following = dict.fromkeys(range(len(log.events)), 0)
    for turn in range(200):
        if turn < 20:
            log.grow()
        stops = log.ends()
        found = [
            made
            for partition, events in enumerate(log.matching())
            for made in [each for each in events if each.offset >= following[partition]][: limit + 1]
        ]
        cut = cut_page(found, stops, limit, most_bytes)
        assert len(cut.places) <= limit
        assert cut.places or not found
        told += cut.places
        following = cut.following
        if turn >= 20 and not cut.has_more:
            break
    by_partition = [[each for each in told if each.partition == partition] for partition in range(len(log.events))]
    assert by_partition == log.matching()
    assert following == log.ends()


def test_a_page_is_in_the_order_of_the_brokers_clocks() -> None:
    found = [place(0, 3, 10), place(0, 4, 30), place(1, 7, 20), place(1, 9, 40)]
    cut = cut_page(found, {0: 5, 1: 10}, 3)
    assert [(each.partition, each.offset) for each in cut.places] == [(0, 3), (1, 7), (0, 4)]
    assert (cut.following, cut.has_more) == ({0: 5, 1: 9}, True)


def test_a_page_without_a_match_goes_on_behind_what_it_has_looked_at() -> None:
    assert cut_page([], {0: 5, 1: 0}, 3) == ([], {0: 5, 1: 0}, False)


def test_a_large_event_is_told_alone() -> None:
    cut = cut_page([place(0, 0, 1, 900), place(0, 1, 2, 900)], {0: 2}, 10, 1000)
    assert ([each.offset for each in cut.places], cut.following, cut.has_more) == ([0], {0: 1}, True)


RECORDS = 30


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [1, 4])
async def test_pages_of_an_archive_go_on_where_a_clock_ran_backwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, limit: int
) -> None:
    """A page ended where it began if the record that stopped its scan was dated before the rest; an export never
    ended."""
    chance, partitions = random.Random(seed), 2
    ends = dict.fromkeys(range(partitions), RECORDS)
    until = START + timedelta(days=1)
    for partition in ends:
        times = [round(START.timestamp() * 1000) + chance.randrange(50) * 1000 for _ in range(RECORDS)]
        records = [
            Record(partition, offset, time, key_of(TASK), encode(started(TASK))) for offset, time in enumerate(times)
        ]
        archived(str(tmp_path), records, partition, end=RECORDS, span=10)
    spans = tuple(Places(partition, 0, RECORDS - 1, RECORDS) for partition in ends)
    month = DetachedMonth("before", None, until, ends, spans, False)

    async def detached(_: AsyncConnection) -> Detached:
        return Detached([month])

    async def nothing(*_: Any) -> list[Any]:
        return []

    async def effects(*_: Any) -> Effects:
        return Effects({})

    async def with_tasks(
        _: AsyncConnection, wanted: AuditFilter, events: Sequence[ArchivedEvent]
    ) -> list[AuditedEvent]:
        return [
            AuditedEvent(
                each.record.partition,
                each.record.offset,
                each.type,
                each.event.id,
                each.event.time,
                archived_pages._time(each.record.timestamp_ms),
                each.event.actor,
                each.effect,
                each.record.value or b"",
                TASK,
                None,
                None,
                None,
            )
            for each in events
        ]

    monkeypatch.setattr(archived_pages, "detached", detached)
    monkeypatch.setattr(archived_pages, "_audited", with_tasks)
    monkeypatch.setattr(audit, "find_places", nothing)
    monkeypatch.setattr(audit, "read_entries", nothing)
    monkeypatch.setattr(Effects, "of", effects)
    monkeypatch.setattr(archived_pages, "MOST_SCANNED", 7)
    read: list[tuple[int, int]] = []
    starts = dict.fromkeys(ends, 0)
    for _ in range(partitions * RECORDS + 1):
        page = await archived_pages.read_page(
            cast("AsyncConnection", None),
            AuditFilter(),
            starts,
            ends,
            limit=limit,
            archive=DetachedRecords(str(tmp_path)),
        )
        read += [(each.partition, each.record_offset) for each in page.entries]
        assert page.following != starts or not page.has_more  # else it would never end
        starts = page.following
        if not page.has_more:
            break
    assert sorted(read) == [(partition, offset) for partition in ends for offset in range(RECORDS)]
    for partition in ends:
        own = [offset for each, offset in read if each == partition]
        assert own == sorted(own)
