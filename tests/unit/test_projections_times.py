"""Brokers' times as datetimes: to the millisecond, from the first to the last that has a date."""

from datetime import UTC, datetime

import pytest
from pulp_api.checkpoints import facts_of
from pulp_deploy.commands.audit import _chosen
from pulp_deploy.commands.events import _line
from pulp_events.audit_reader import AuditEntry
from pulp_events.codec import encode, key_of, type_of
from pulp_events.reader import Record
from pulp_events.retries import attempts_of
from pulp_events.selection import Received
from pulp_events.task import Position, Task, evolve
from pulp_projections.times import clamped_ms, moment
from pulp_transparency.history import _entry, row_of

from tests.support.events import TASK, accepted, started


@pytest.mark.parametrize(
    ("timestamp_ms", "expected"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1, datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        (1_767_268_800_123, datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)),
        (2**33 * 1000 - 1, datetime(2242, 3, 16, 12, 56, 31, 999_000, tzinfo=UTC)),
        (2**33 * 1000 + 1, datetime(2242, 3, 16, 12, 56, 32, 1000, tzinfo=UTC)),
        (253_402_300_798_999, datetime(9999, 12, 31, 23, 59, 58, 999_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_exact(timestamp_ms: int, expected: datetime) -> None:
    assert moment(timestamp_ms) == expected


def test_no_time_stays_none() -> None:
    assert moment(None) is None


@pytest.mark.parametrize("timestamp_ms", [-(2**63), 2**63 - 1])
def test_every_reader_takes_what_a_producer_may_have_dated(timestamp_ms: int) -> None:
    """A topic that somebody recreated may have producers' timestamps; these made commands and retries fail."""
    expected = moment(clamped_ms(timestamp_ms))
    received = Received(position=Position(1, 2), timestamp_ms=timestamp_ms, event=None, error="no event", raw=None)
    assert received.time == expected
    assert str(expected.year) in repr(received)
    assert _line(received).startswith(f"{expected:%Y-%m-%d}")
    [told] = _chosen([AuditEntry(0, 0, timestamp_ms, None, "no record")], actor=None, kinds=(), address=None)
    assert told["time"] == f"{expected:%Y-%m-%dT%H:%M:%SZ}"
    note = Record(0, 0, timestamp_ms, None, b"log/0\n0\nroot\n\n", (("next-offset", b"9" * 5000),))
    facts = facts_of(note)
    assert facts is not None
    assert (facts.time, facts.next_offset) == (expected, 0)
    task = evolve(None, accepted(deadline_seconds=60), Position(0, 0), timestamp_ms)
    assert isinstance(task, Task)
    assert attempts_of(task).deadline == moment(clamped_ms(timestamp_ms + 60_000))


@pytest.mark.parametrize("timestamp_ms", [-(2**63), -1, 1_767_268_800_123, 2**63 - 1])
def test_a_row_with_the_nearest_time_is_that_of_its_record(timestamp_ms: int) -> None:
    """The comparison of the history with the log reported it as altered."""
    event = started(TASK)
    record = Record(0, 7, timestamp_ms, key_of(TASK), encode(event))
    stored = (moment(clamped_ms(timestamp_ms)), record.value)
    row = _entry(0, 7, *stored, TASK, event.id, type_of(event), event.time, event.actor, None, None)
    assert row_of(record, is_letter=False) == row
    letter = Record(0, 8, timestamp_ms, b"key", b"nothing", (("name", b"value"),))
    stored_letter = (moment(clamped_ms(timestamp_ms)), letter.value)
    rest = (None, None, None, None, None, letter.key, [["name", "dmFsdWU="]])
    assert row_of(letter, is_letter=True) == _entry(0, 8, *stored_letter, *rest)


@pytest.mark.parametrize("timestamp_ms", [-1, 2**63 - 1])
def test_a_number_without_a_date_becomes_the_nearest_time(timestamp_ms: int) -> None:
    nearest = datetime(1970, 1, 1, tzinfo=UTC) if timestamp_ms < 0 else datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert moment(clamped_ms(timestamp_ms)) == nearest
