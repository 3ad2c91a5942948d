"""When schedules run. Expected times are from the calendar and from the rules of clock changes, worked out by hand.

In Europe/Berlin clocks go from 02:00 to 03:00 on 2026-03-29 (then UTC+2) and from 03:00 to 02:00 on 2026-10-25 (then
UTC+1). In America/New_York they go from 02:00 to 03:00 on 2026-03-08. In Australia/Lord_Howe they go by half an hour.
"""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from pulp_events.schedule import Schedule
from pulp_events.schedule_events import Definition
from pulp_projections.schedules.ticks import BadTimes, PassedTicks, check_times, next_tick, overdue, ticks_after

from tests.support.schedules import MIDNIGHT, MIDNIGHT_MS, SCHEDULE, definition


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ticks(what: Definition, after: str, count: int) -> list[datetime]:
    return list(islice(ticks_after(what, at(after)), count))


def schedule(what: Definition, *, since_ms: int = MIDNIGHT_MS, last: datetime | None = None) -> Schedule:
    return Schedule(
        schedule_id=SCHEDULE,
        definition=what,
        created_by="user:jo",
        created_at_ms=since_ms,
        updated_by="user:jo",
        updated_at_ms=since_ms,
        since_ms=since_ms,
        last_tick=last,
        offset=0,
    )


@pytest.mark.parametrize(
    ("cron", "zone", "after", "wanted"),
    [
        # 02:30 does not exist on that day: it is at 03:00, the first minute that does, which is 01:00 UTC.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-27T12:00Z",
            ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"],
        ),
        # 02:30 exists twice on that day: the tick comes once, at the first of the two (UTC+2).
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            ["2026-10-25T00:30Z", "2026-10-26T01:30Z"],
        ),
        # Begun between the two, the schedule has no further tick on that day.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:05Z", ["2026-10-26T01:30Z"]),
        # Each hour follows elapsed time: the skipped hour has no tick, the repeated hour has two.
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:30Z",
            ["2026-03-29T01:00Z", "2026-03-29T02:00Z"],
        ),
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:30Z",
            ["2026-10-25T00:00Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"],
        ),
        ("15 2 * * *", "America/New_York", "2026-03-08T00:00Z", ["2026-03-08T07:00Z", "2026-03-09T06:15Z"]),
        # UTC+10:30 becomes UTC+11 at 02:00 on 2026-10-04: 02:15 does not exist, 02:30 does, which is 15:30 UTC the day before.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00Z", ["2026-10-03T15:30Z", "2026-10-04T15:15Z"]),
        ("0 12 * * 1-5", "UTC", "2026-05-29T13:00Z", ["2026-06-01T12:00Z", "2026-06-02T12:00Z"]),  # a Friday
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00Z", ["2028-02-29T00:00Z", "2032-02-29T00:00Z"]),
        ("0 6 L * *", "UTC", "2026-02-01T00:00Z", ["2026-02-28T06:00Z", "2026-03-31T06:00Z"]),
    ],
)
def test_cron_follows_the_clocks_of_its_time_zone(cron: str, zone: str, after: str, wanted: list[str]) -> None:
    found = ticks(definition(cron=cron, time_zone=zone), after, len(wanted))
    assert found == [at(each) for each in wanted]


def test_an_interval_is_elapsed_time_whatever_clocks_do() -> None:
    daily = definition(interval_seconds=86_400, start=at("2026-03-28T12:00+01:00"), time_zone="Europe/Berlin")
    assert ticks(daily, "2026-03-28T11:00Z", 3) == [
        at("2026-03-29T11:00Z"),  # 13:00 of that zone
        at("2026-03-30T11:00Z"),
        at("2026-03-31T11:00Z"),
    ]
    assert ticks(daily, "2026-01-01T00:00Z", 1) == [at("2026-03-28T11:00Z")]  # none before its start


def test_a_single_time_comes_once_and_no_time_before_the_start() -> None:
    once = definition(at=at("2026-06-01T10:00Z"))
    assert ticks(once, "2026-06-01T09:59:59Z", 2) == [at("2026-06-01T10:00Z")]
    assert ticks(once, "2026-06-01T10:00Z", 2) == []
    later = definition(cron="0 * * * *", start=at("2026-06-01T10:00Z"))
    assert ticks(later, "2026-01-01T00:00Z", 1) == [at("2026-06-01T10:00Z")]


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("cron", {"cron": "61 * * * *"}),
        ("cron", {"cron": "* * * *"}),
        ("cron", {"cron": "* * * * * *"}),  # a tick each second
        ("cron", {"cron": "0 30 2 * * *"}),
        ("cron", {"cron": "@daily"}),
        ("cron", {"cron": "0 0 30 2 *"}),
        ("time_zone", {"time_zone": "Europe/Nowhere"}),
        ("time_zone", {"time_zone": "../../etc/passwd"}),
        ("time_zone", {"time_zone": "Europe"}),
        ("time_zone", {"time_zone": "localtime"}),
        ("time_zone", {"time_zone": "posixrules"}),
        ("time_zone", {"time_zone": "right/UTC"}),
    ],
)
def test_times_that_cannot_be_used_are_refused_by_field(field: str, given: dict[str, str]) -> None:
    with pytest.raises(BadTimes) as refused:
        check_times(definition(**given))
    assert refused.value.field == field


def test_ticks_before_a_change_and_before_the_last_tick_do_not_count() -> None:
    hourly = definition(cron="0 * * * *")
    assert next_tick(schedule(hourly)) == MIDNIGHT + timedelta(hours=1)
    assert next_tick(schedule(hourly, last=MIDNIGHT + timedelta(hours=5))) == MIDNIGHT + timedelta(hours=6)
    assert next_tick(schedule(definition(at=MIDNIGHT))) is None


@pytest.mark.parametrize(
    ("given", "passed", "wanted"),
    [
        ({"cron": "0 * * * *"}, timedelta(minutes=59), None),
        ({"cron": "0 * * * *"}, timedelta(hours=1), (timedelta(hours=1), 0)),
        ({"cron": "0 * * * *"}, timedelta(hours=5, minutes=30), (timedelta(hours=5), 4)),
        ({"cron": "*/5 * * * *"}, timedelta(days=400), (timedelta(days=400), 1000)),
        ({"cron": "0 0 1 1 *"}, timedelta(days=3650), (datetime(2036, 1, 1, tzinfo=UTC) - MIDNIGHT, 9)),
        ({"interval_seconds": 600, "start": MIDNIGHT}, timedelta(minutes=35), (timedelta(minutes=30), 2)),
        ({"interval_seconds": 10, "start": MIDNIGHT}, timedelta(days=365), (timedelta(days=365), 1000)),
        ({"at": MIDNIGHT + timedelta(hours=2)}, timedelta(days=9), (timedelta(hours=2), 0)),
    ],
)
def test_what_has_passed_is_one_tick_and_a_number(
    given: dict[str, Any], passed: timedelta, wanted: tuple[timedelta, int] | None
) -> None:
    found = overdue(schedule(definition(**given)), MIDNIGHT + passed)
    assert found == (None if wanted is None else PassedTicks(MIDNIGHT + wanted[0], wanted[1]))


def test_the_moment_of_the_builders() -> None:
    assert (MIDNIGHT - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400_000 == MIDNIGHT_MS
