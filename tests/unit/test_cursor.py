"""A cursor is one text for all doors: a printed cursor is accepted, and nothing else is."""

import json
import shlex
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_events.cursor import Cursor, parse_start
from pulp_events.errors import BadInput, OffsetOutOfRange, TopicMismatch
from pulp_events.task import Position

TOPIC = "x+Zv9T3qQXu/Ww7mWzT1Zg"  # as the client library has it
PRINTED = "x-Zv9T3qQXu_Ww7mWzT1Zg"  # as kafka-topics.sh prints it
OFFSETS = st.integers(0, 2**63 - 1)
TOPICS = st.text("abcXYZ019+/", min_size=22, max_size=22)
CURSORS = st.builds(Cursor, TOPICS, st.lists(OFFSETS, min_size=1, max_size=20).map(tuple))


def test_its_text() -> None:
    assert str(Cursor(TOPIC, (12, 0, 7, 103))) == f"{PRINTED}.12.0.7.103"


@given(CURSORS)
def test_what_is_printed_is_read_and_needs_no_quotes(cursor: Cursor) -> None:
    text = str(cursor)
    assert Cursor.parse(text) == cursor
    assert parse_start(text) == cursor
    assert shlex.quote(text) == quote(text, safe="") == text


@given(CURSORS)
def test_the_ids_of_streams_of_release_0_1_are_read(cursor: Cursor) -> None:
    old = urlsafe_b64encode(json.dumps([cursor.topic_id, cursor.offsets]).encode()).decode().rstrip("=")
    assert Cursor.parse(old) == cursor


@given(CURSORS, st.data())
def test_past_a_record_is_the_next_one_of_its_partition(cursor: Cursor, data: st.DataObject) -> None:
    partition = data.draw(st.integers(0, len(cursor.offsets) - 1))
    offset = data.draw(st.integers(0, 2**62))
    assert cursor.past(Position(partition, offset)).positions == {**cursor.positions, partition: offset + 1}
    assert Cursor.at(cursor.topic_id, cursor.positions) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        PRINTED,
        f"{PRINTED}.",
        f"{PRINTED}.1.",
        f"{PRINTED}..1",
        f"{PRINTED}.-1",
        f"{PRINTED}.+1",
        f"{PRINTED}.01",
        f"{PRINTED}. 1",
        f"{PRINTED}.1 ",
        f"{PRINTED}.1\n",
        f"{PRINTED}.٣",
        f"{PRINTED}.{2**63}",
        f"{PRINTED[:-1]}.1",
        f"{PRINTED}x.1",
        f"{PRINTED[:-1]}/.1",
        f"{TOPIC}.1",
        "WyJ4IixbXV0",  # ["x",[]] as release 0.1 would have written it
        "WyJ4IixbLTFdXQ",  # ["x",[-1]]
        "bm9uc2Vuc2U",
        "[" * 10_000,
    ],
)
def test_nothing_else_is_a_cursor(text: str) -> None:
    with pytest.raises(BadInput, match="is not a cursor: it looks like TOPIC_ID"):
        Cursor.parse(text)


def test_a_cursor_is_checked_against_the_log() -> None:
    ends = {0: 5, 1: 0}
    Cursor(TOPIC, (5, 0)).check(TOPIC, ends)
    with pytest.raises(TopicMismatch, match="created again"):
        Cursor(TOPIC, (5, 0)).check(TOPIC[::-1], ends)
    with pytest.raises(TopicMismatch, match="another topic"):
        Cursor(TOPIC, (5,)).check(TOPIC, ends)
    with pytest.raises(OffsetOutOfRange, match=r"is at 1:1, and the log ends at 1:0"):
        Cursor(TOPIC, (5, 1)).check(TOPIC, ends)


def test_where_to_begin() -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert parse_start("beginning") == "beginning"
    assert parse_start("now") == "now"
    assert parse_start("2026-11-24T12:00:00Z") == noon
    assert parse_start("2026-11-24T14:00:00.000+02:00") == noon.astimezone(timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    "text", ["", "start", "NOW", "2026-11-24T12:00:00", "yesterday", "12", "0001-01-01T00:00+23:00"]
)
def test_where_nobody_can_begin(text: str) -> None:
    with pytest.raises(BadInput, match="since="):
        parse_start(text)


@given(CURSORS, st.data())
def test_one_that_the_log_has_lost_records_after_is_refused(cursor: Cursor, data: st.DataObject) -> None:
    cursor.check_begin(cursor.positions)  # what comes next is the first record, or the partition is empty
    cursor.check_begin({partition: data.draw(st.integers(0, each)) for partition, each in cursor.positions.items()})
    partition = data.draw(st.integers(0, len(cursor.offsets) - 1))
    with pytest.raises(OffsetOutOfRange, match=f"the log begins at {partition}:{cursor.offsets[partition] + 1}:"):
        cursor.check_begin({**cursor.positions, partition: cursor.offsets[partition] + 1})
