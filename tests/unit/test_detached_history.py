"""Which events are of a detached month, which answers need them, and what an archive has to have before."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pulp_events.reader import Record
from pulp_processor.rebuilding.history import lacks
from pulp_projections.detached import Detached, DetachedMonth, Places, incomplete
from pulp_projections.writing.history_months import Month

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
        (MAY, 100, 0, False),  # came after the month was detached, and was dated back
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
        " administrator brings them back by pulp-tasks history attach 2026-05; the archive has those of 2026-06"
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
