"""The effects of schedule events, and their bytes."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from msgspec import Raw
from pulp_events.errors import InvalidEvent, UndecodableRecord
from pulp_events.ordered_codec import UnknownType
from pulp_events.schedule import NoEffect, Schedule, ScheduleReason, evolve_schedule, task_id_of_tick
from pulp_events.schedule_codec import (
    SCHEDULE_TYPES,
    decode_schedule_event,
    encode_schedule_event,
    schedule_key,
)
from pulp_events.schedule_events import (
    ScheduleEvent,
    ScheduleRemoved,
    SkipReason,
    TaskTemplate,
    TickRefused,
    TickSkipped,
    TickSubmitted,
)
from pulp_projections.schedules.ticks import next_tick

from tests.support.schedules import MIDNIGHT, MIDNIGHT_MS, SCHEDULE, changed, created, definition, due, schedule_event

LINES = (Path(__file__).parents[1] / "golden" / "schedule-events-v1.jsonl").read_bytes().splitlines()
TICK = MIDNIGHT + timedelta(hours=1)
TASK_OF_TICK = UUID("11111111-1111-4111-8111-111111111111")


def fold(*events: ScheduleEvent, is_name_taken: bool = False) -> tuple[Schedule | None, list[str]]:
    """The schedule after the events, and the effect of each."""
    schedule: Schedule | None = None
    effects = []
    for offset, event in enumerate(events):
        found = evolve_schedule(schedule, event, offset, MIDNIGHT_MS + offset, is_name_taken=is_name_taken)
        effects.append(str(found.reason) if isinstance(found, NoEffect) else "applied")
        schedule = schedule if isinstance(found, NoEffect) else found
    return schedule, effects


def submitted(tick: datetime = TICK) -> ScheduleEvent:
    return schedule_event(TickSubmitted(tick=tick, task_id=TASK_OF_TICK), actor="scheduler")


def test_a_tick_is_due_once_and_its_task_submitted_once() -> None:
    schedule, effects = fold(created(), due(TICK), due(TICK), submitted(), submitted())
    assert effects == ["applied", "applied", "tick is taken", "applied", "not due"]
    assert schedule is not None
    assert (schedule.last_tick, schedule.pending, schedule.last_task) == (TICK, None, TASK_OF_TICK)


def test_no_tick_goes_back() -> None:
    _, effects = fold(created(), due(TICK), submitted(), due(TICK - timedelta(minutes=30)))
    assert effects[-1] == "tick is taken"


def test_what_was_decided_from_an_older_definition_has_no_effect() -> None:
    schedule, effects = fold(created(), changed(1, cron="0 5 * * *"), due(TICK, version=1))
    assert effects == ["applied", "applied", "stale"]
    assert schedule is not None
    assert (schedule.version, schedule.pending) == (2, None)


def test_a_change_drops_the_tick_that_was_due_before() -> None:
    schedule, _ = fold(created(), due(TICK), changed(1, cron="0 5 * * *"))
    assert schedule is not None
    assert (schedule.pending, schedule.last_task) == (None, None)


def test_a_change_undoes_a_tick_of_the_future() -> None:
    far = MIDNIGHT.replace(year=2126)
    schedule, effects = fold(created(), due(far), changed(1, cron="30 * * * *"), submitted(far))
    assert effects == ["applied"] * 4
    assert schedule is not None
    assert schedule.last_task == TASK_OF_TICK
    assert next_tick(schedule) == MIDNIGHT + timedelta(minutes=30)
    skipped = schedule_event(TickSkipped(version=1, tick=far, reason=SkipReason.MISSED), actor="scheduler")
    schedule, _ = fold(created(), skipped, changed(1, cron="30 * * * *"))
    assert schedule is not None
    assert next_tick(schedule) == MIDNIGHT + timedelta(minutes=30)


def test_a_task_that_was_submitted_during_a_change_is_the_last_one_all_the_same() -> None:
    schedule, effects = fold(created(), due(TICK), changed(1, cron="0 5 * * *"), submitted(), submitted())
    assert effects == ["applied", "applied", "applied", "applied", "not due"]
    assert schedule is not None
    assert (schedule.version, schedule.pending, schedule.last_task) == (2, None, TASK_OF_TICK)


def test_a_task_of_an_earlier_tick_is_not_the_last_one_again() -> None:
    later = TICK + timedelta(hours=1)
    schedule, effects = fold(created(), due(TICK), submitted(), due(later), submitted())
    assert effects[-1] == "not due"
    assert schedule is not None
    assert schedule.pending == later


def test_a_tick_that_was_refused_during_a_change_changes_nothing() -> None:
    refused = schedule_event(TickRefused(tick=TICK, reason="there is no user jo any more"), actor="scheduler")
    _, effects = fold(created(), due(TICK), changed(1, cron="0 5 * * *"), refused)
    assert effects[-1] == "not due"


def test_of_two_changes_from_one_version_the_first_counts() -> None:
    schedule, effects = fold(created(), changed(1, cron="1 * * * *"), changed(1, cron="2 * * * *"))
    assert effects == ["applied", "applied", "stale"]
    assert schedule is not None
    assert schedule.definition.cron == "1 * * * *"


def test_a_removed_schedule_does_nothing_any_more() -> None:
    removed = schedule_event(ScheduleRemoved())
    schedule, effects = fold(created(), due(TICK), removed, submitted(), changed(), due(TICK), removed, created())
    assert effects == ["applied", "applied", "applied", "removed", "removed", "removed", "removed", "duplicate"]
    assert schedule is not None
    assert schedule.removed_at_ms == MIDNIGHT_MS + 2


def test_a_disabled_schedule_has_no_ticks_and_counts_anew_when_it_is_enabled() -> None:
    schedule, effects = fold(created(), changed(1, enabled=False), due(TICK, version=2), changed(2))
    assert effects == ["applied", "applied", "disabled", "applied"]
    assert schedule is not None
    assert schedule.since_ms == MIDNIGHT_MS + 3


def test_a_tick_that_was_skipped_or_refused_is_over() -> None:
    skipped = schedule_event(TickSkipped(version=1, tick=TICK, reason=SkipReason.MISSED, missed=3), actor="scheduler")
    _, effects = fold(created(), skipped, due(TICK))
    assert effects == ["applied", "applied", "tick is taken"]
    refused = schedule_event(TickRefused(tick=TICK, reason="there is no user jo any more"), actor="scheduler")
    schedule, effects = fold(created(), due(TICK), refused)
    assert effects[-1] == "applied"
    assert schedule is not None
    assert (schedule.pending, schedule.last_task) == (None, None)


def test_a_name_belongs_to_one_schedule() -> None:
    assert fold(created(), is_name_taken=True) == (None, ["name is taken"])
    assert fold(due(TICK)) == (None, [ScheduleReason.UNKNOWN_SCHEDULE])


def test_the_id_of_a_ticks_task_never_changes() -> None:
    # UUIDv5 of RFC 9562 over the parts "schedule", the id, and the tick's seconds, by another program.
    assert str(task_id_of_tick(SCHEDULE, MIDNIGHT)) == "7d3c69e5-9c1f-5cdc-9a2d-0558fe2b4e85"
    assert task_id_of_tick(SCHEDULE, TICK) != task_id_of_tick(SCHEDULE, MIDNIGHT)


def test_the_wire_types() -> None:
    assert sorted(SCHEDULE_TYPES.values()) == [
        "org.pulpproject.schedule.changed.v1",
        "org.pulpproject.schedule.created.v1",
        "org.pulpproject.schedule.due.v1",
        "org.pulpproject.schedule.refused.v1",
        "org.pulpproject.schedule.removed.v1",
        "org.pulpproject.schedule.skipped.v1",
        "org.pulpproject.schedule.submitted.v1",
    ]


@pytest.mark.parametrize("line", LINES, ids=lambda line: json.loads(line)["type"])
def test_every_event_ever_written_stays_readable(line: bytes) -> None:
    wire = json.loads(line)
    event = decode_schedule_event(wire["subject"].encode(), line)
    assert SCHEDULE_TYPES[type(event.data)] == wire["type"]
    again = json.loads(encode_schedule_event(event))
    assert {**again, "data": None} == {**wire, "data": None}
    assert decode_schedule_event(wire["subject"].encode(), encode_schedule_event(event)) == event


def test_the_golden_events_are_of_every_type() -> None:
    assert {json.loads(line)["type"] for line in LINES} == set(SCHEDULE_TYPES.values())


def test_what_breaks_the_contract_is_not_written() -> None:
    good = definition()
    for bad in (
        msgspec.structs.replace(good, cron=None),
        msgspec.structs.replace(good, at=MIDNIGHT),
        msgspec.structs.replace(good, cron=None, interval_seconds=60),
        msgspec.structs.replace(good, name=""),
        msgspec.structs.replace(good, task=TaskTemplate(operation="sync", arguments=Raw(b"[]"))),
        msgspec.structs.replace(good, name="a\0b"),
    ):
        event = created()
        data = msgspec.structs.replace(event.data, definition=bad)
        with pytest.raises(InvalidEvent):
            encode_schedule_event(msgspec.structs.replace(event, data=data))


@pytest.mark.parametrize("time", ["9999-12-31T23:00:00-05:00", "0001-01-01T01:00:00+05:00"])
def test_a_time_that_not_every_time_zone_has_is_refused(time: str) -> None:
    known = b"2026-06-01T01:00:00Z"
    tick = datetime.fromisoformat("2026-06-01T01:00:00Z")
    for event in (
        created(cron=None, at=tick),
        changed(1, cron=None, interval_seconds=3600, start=tick),
        due(tick),
        submitted(tick),
    ):
        value = encode_schedule_event(event)
        assert known in value
        with pytest.raises(UndecodableRecord, match="out of range"):
            decode_schedule_event(schedule_key(SCHEDULE), value.replace(known, time.encode()))


def test_foreign_bytes_are_refused() -> None:
    value = encode_schedule_event(created())
    key = schedule_key(SCHEDULE)
    for bad_key, bad_value in ((None, value), (b"x", value), (key, None), (key, b"{}"), (key, value[:-1])):
        with pytest.raises(UndecodableRecord):
            decode_schedule_event(bad_key, bad_value)
    with pytest.raises(UnknownType):
        decode_schedule_event(key, value.replace(b"schedule.created.v1", b"schedule.painted.v1"))
