"""A record becomes one server-sent event, whatever is in the record."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent
from pulp_api.streaming.streamed_events import UNDECODABLE, streamed
from pulp_events.reader import Record

TASK = UUID("0f0e0d0c-0b0a-4908-8706-050403020100")
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "org.pulpproject.task.cancel_requested.v1",
    "source": "tests",
    "subject": str(TASK),
    "id": "00000000-0000-4000-8000-000000000001",
    "time": datetime(2026, 11, 29, tzinfo=UTC).isoformat(),
    "actor": "tests",
    "datacontenttype": "application/json",
    "data": {"reason": "no\u2028more: ü"},
}


def record(value: bytes | None) -> Record:
    return Record(partition=2, offset=7, timestamp_ms=1_000, key=str(TASK).encode(), value=value)


def received(frame: bytes) -> list[ServerSentEvent]:
    """The events that a subscriber reads from the stream `id: place` + frame, in pieces of three bytes."""
    stream = b"id: place\n" + frame

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(stream), 3):
            yield stream[start : start + 3]

    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=pieces())
    return list(EventSource(answer).iter_sse())


@pytest.mark.parametrize("indent", [None, 2])
def test_a_subscriber_gets_the_record_as_one_event_with_one_line_of_data(indent: int | None) -> None:
    value = json.dumps(EVENT, indent=indent, ensure_ascii=False).encode()
    event = streamed(record(value))
    assert (event.partition, event.offset) == (2, 7)
    assert (event.type, event.task_id, event.accepted) == (EVENT["type"], TASK, None)
    [found] = received(event.name + event.data)
    assert (found.id, found.event) == ("place", EVENT["type"])
    assert json.loads(found.data) == {"partition": 2, "offset": 7, "timestamp_ms": 1_000, "event": EVENT}
    assert "\n" not in found.data


@pytest.mark.parametrize("value", [None, b"", b"\xff\n\ndata: x\n\n", b"[1,\n2]"])
def test_a_record_that_is_no_event_is_one_event_too(value: bytes | None) -> None:
    event = streamed(record(value))
    assert (event.type, event.task_id) == (UNDECODABLE, TASK)  # the key names a task
    [found] = received(event.name + event.data)
    assert (found.id, found.event, json.loads(found.data)["event"]) == ("place", UNDECODABLE, None)


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
def test_the_type_of_an_unknown_event_cannot_write_fields_of_the_stream(line_break: str) -> None:
    value = json.dumps({**EVENT, "type": f"org.x{line_break}id: forged{line_break}{line_break}data: y"}).encode()
    event = streamed(record(value))
    assert event.task_id == TASK
    [found] = received(event.name + event.data)
    assert found.id == "place"
    assert json.loads(found.data)["event"] == json.loads(value)
