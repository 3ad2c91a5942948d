"""Which events belong to a detached month, which answers need them, and what an archive must have before that."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs
from pulp_events.codec import encode, key_of
from pulp_events.reader import Record
from pulp_processor.rebuilding.history import lacks
from pulp_projections.detached import Detached, DetachedMonth, Places, incomplete
from pulp_projections.reading.archived import ArchivedEvent, Effects
from pulp_projections.reading.archived_pages import fits
from pulp_projections.reading.audit import AuditFilter
from pulp_projections.writing.history_months import Month

from tests.support.archives import archived
from tests.support.events import TASK, accepted, started

MAY, JUNE, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6, 7))
OF_MAY = DetachedMonth("2026_05", MAY, JUNE, {0: 100, 1: 50}, (Places(0, 10, 40, 31), Places(1, 0, 20, 15)), True)
OF_JUNE = DetachedMonth("2026_06", JUNE, JULY, {0: 100, 1: 50}, (Places(0, 41, 99, 59),), False)


def record(time: datetime, offset: int, partition: int = 0) -> Record:
    return Record(partition, offset, round(time.timestamp() * 1000), b"", b"")


@pytest.mark.parametrize(
    ("time", "offset", "partition", "is_detached"),
    [
        (MAY, 10, 0, True),
        (JUNE, 41, 0, True),
        (JULY, 99, 0, False),  # a later month
        (MAY, 100, 0, False),  # arrived after the month was detached, with an earlier time
        (MAY, 49, 1, True),
        (MAY, 0, 2, False),  # a partition that came later
        (datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC), 10, 0, False),
    ],
)
def test_an_event_is_detached_by_its_time_and_its_offset(
    time: datetime, offset: int, partition: int, is_detached: bool
) -> None:
    assert Detached([OF_MAY, OF_JUNE]).has(record(time, offset, partition)) is is_detached


def test_what_was_before_all_months_begins_with_the_first_event() -> None:
    before = Detached([DetachedMonth("before", None, JUNE, {0: 5}, (Places(0, 0, 4, 5),), True)])
    assert before.has(Record(0, 4, -1, b"", b""))
    assert before.has(record(MAY, 4))
    assert not before.has(record(JUNE, 4))


@pytest.mark.parametrize(
    ("starts", "stops", "since", "until", "needed"),
    [
        ({0: 0, 1: 0}, {0: 200, 1: 200}, None, None, [OF_MAY, OF_JUNE]),
        ({0: 40, 1: 30}, {0: 41, 1: 200}, None, None, [OF_MAY]),
        ({0: 41, 1: 21}, {0: 200, 1: 200}, None, None, [OF_JUNE]),
        ({0: 100, 1: 21}, {0: 200, 1: 200}, None, None, []),
        ({0: 0, 1: 0}, {0: 10, 1: 0}, None, None, []),
        ({}, {0: 200, 1: 200}, JUNE, None, [OF_JUNE]),
        ({}, {0: 200, 1: 200}, None, JUNE, [OF_MAY]),
        ({}, {0: 200, 1: 200}, JULY, None, []),
    ],
)
def test_an_answer_needs_the_months_between_its_bounds(
    starts: dict[int, int],
    stops: dict[int, int],
    since: datetime | None,
    until: datetime | None,
    needed: list[DetachedMonth],
) -> None:
    assert Detached([OF_MAY, OF_JUNE]).between(starts, stops, since, until) == needed


def test_the_refusal_says_where_the_events_are() -> None:
    assert str(incomplete([OF_MAY, OF_JUNE], "they are needed")) == (
        "the events from 2026-05-01 to before 2026-07-01 were detached from the read model, and they are needed: an"
        " administrator brings them back by pulp-tasks history attach 2026-05; the archive has those of 2026-06,"
        " and an API that is started with PULP_ARCHIVE reads them"
    )


def archive(**spans: tuple[int, int] | None) -> Any:
    manifests = {
        int(name[1:]): SimpleNamespace(begin=span and span[0], end=span and span[1]) for name, span in spans.items()
    }
    return SimpleNamespace(manifests=manifests)


@pytest.mark.parametrize(
    ("found", "lacking"),
    [
        (archive(p0=(0, 41), p1=(0, 21)), None),
        (archive(p0=(0, 40), p1=(0, 21)), "of partition 0 the archive ends before 40, and 40 is needed"),
        (archive(p0=(11, 41), p1=(0, 21)), "of partition 0 the archive begins at 11, and 10 is needed"),
        (archive(p0=(0, 41)), "the archive has nothing of partition 1"),
        (archive(p0=(0, 41), p1=None), "the archive has nothing of partition 1"),
        (None, "no archive is named"),
    ],
)
def test_an_archive_holds_a_month_only_with_all_of_its_positions(found: Any, lacking: str | None) -> None:
    assert lacks(found, OF_MAY.places) == lacking


@pytest.mark.parametrize(
    ("time_ms", "month"),
    [
        (1_782_863_999_999, Month(2026, 6)),
        (1_782_864_000_000, Month(2026, 7)),
        (-1, Month(1970, 1)),
        (2**62, Month(9999, 12)),
    ],
)
def test_a_month_is_one_of_utc(time_ms: int, month: Month) -> None:
    assert Month.of(time_ms) == month


def found(effect: str = "applied") -> ArchivedEvent:
    event = started(TASK)
    return ArchivedEvent(Record(0, 7, round(MAY.timestamp() * 1000), key_of(TASK), encode(event)), event, effect)


@pytest.mark.parametrize(
    ("wanted", "effect", "is_wanted"),
    [
        (AuditFilter(), "applied", True),
        (AuditFilter(actors=("user:x", "worker:w1")), "applied", True),
        (AuditFilter(actors=("user:x",)), "applied", False),
        (AuditFilter(types=("org.pulpproject.task.started.v1",)), "applied", True),
        (AuditFilter(types=("org.pulpproject.task.finished.v1",)), "applied", False),
        (AuditFilter(effects=("ignored",)), "applied", False),
        (AuditFilter(effects=("ignored",)), "final", True),
        (AuditFilter(effects=("final",)), "stale", False),
        (AuditFilter(effects=("applied", "ignored")), "stale", True),
        (AuditFilter(effects=("applied", "final")), "stale", False),
        (AuditFilter(tasks=(TASK,)), "applied", True),
        (AuditFilter(tasks=(UUID(int=1),)), "applied", False),
        (AuditFilter(since=MAY, until=JUNE), "applied", True),
        (AuditFilter(since=JUNE), "applied", False),
        (AuditFilter(until=MAY), "applied", False),
    ],
)
def test_an_archived_event_fits_a_filter_as_its_row_would(wanted: AuditFilter, effect: str, is_wanted: bool) -> None:
    assert fits(wanted, found(effect)) is is_wanted


def test_a_record_has_the_effect_that_is_kept_and_a_dead_letter_is_no_event() -> None:
    effects = Effects({7: "final", 8: None})

    def effect_at(offset: int, value: bytes | None = found().record.value) -> str | None:
        event = effects.event(structs.replace(found().record, offset=offset, value=value))
        return None if event is None else event.effect

    assert [effect_at(7), effect_at(8), effect_at(9), effect_at(9, b"{")] == ["final", None, "applied", None]


def test_an_archive_finds_the_records_of_a_key_and_of_a_time(tmp_path: Path) -> None:
    """Over several files; a clock that ran backwards by less than the slack hides nothing."""
    events = [accepted(UUID(int=number % 3 + 1)) for number in range(30)]
    records = [
        Record(0, number, 1_000_000 + number * 1000 - (5000 if number == 12 else 0), key_of(each.task_id), encode(each))
        for number, each in enumerate(events)
    ]
    found = archived(str(tmp_path), records, end=30, span=4)
    key = key_of(UUID(int=2))
    read = [each for batch in found.read(0, 5, 20, keys={key}) for each in batch]
    assert [each for each in read if each.offset < 20] == [each for each in records[5:20] if each.key == key]
    assert [found.first_after(0, 1_000_000 + ms, 10_000) for ms in (-1, 0, 9999, 10_000, 28_999, 29_000)] == [
        *(0, 1, 10, 11, 29),
        None,
    ]
