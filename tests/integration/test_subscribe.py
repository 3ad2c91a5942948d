"""Following the events of a real Kafka: from the start, from stored positions, from a time; then live."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Producer
from pulp_events import Event, Outcome, Received, Resource, Subscription, UnknownEvent, subscribe
from pulp_events.admin import describe
from pulp_events.codec import encode
from pulp_events.errors import BadInput, LogUnavailable, OffsetOutOfRange, TopicMismatch
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import TASK, accepted, cancel_requested, finished, progress, started
from tests.support.retention import delete_records

EXAMPLE = Path(__file__).parents[2] / "examples" / "subscriber.py"
OTHER = UUID("aaaaaaaa-0000-4000-8000-000000000001")


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    yield log
    await log.close()


@pytest.fixture
def prefix(topics: Topics) -> str:
    return topics.events.removesuffix(".events")


def next_of(events: Subscription) -> Received:
    for _ in range(60):
        if (received := events.poll(0.5)) is not None:
            return received
    pytest.fail("no event within 30 s")


def write_raw(kafka: str, topic: str, partition: int, *values: tuple[bytes | None, bytes | None]) -> None:
    """Write records as a foreign program might."""
    producer = Producer({"bootstrap.servers": kafka})
    for key, value in values:
        producer.produce(topic, key=key, value=value, partition=partition)
    assert producer.flush(30) == 0


async def test_all_events_from_the_start_with_their_positions(log: KafkaLog, backend: Backend, prefix: str) -> None:
    story = [accepted(), started(), progress(), cancel_requested(), finished(outcome=Outcome.CANCELLED)]
    written = [await log.append(event, 1) for event in story]
    with subscribe(backend.kafka, prefix=prefix, follow=False) as events:
        received = list(events)
        assert [item.event for item in received] == story
        assert [item.position for item in received] == written
        assert [item.raw for item in received] == [encode(event) for event in story]
        assert events.positions == {0: 0, 1: 5, 2: 0, 3: 0}
    assert all(abs(item.timestamp_ms / 1000 - datetime.now(UTC).timestamp()) < 600 for item in received)


async def test_stored_positions_give_each_event_once_whatever_the_stops(
    log: KafkaLog, backend: Backend, prefix: str
) -> None:
    story = [accepted(uuid4()) for _ in range(24)]
    for number, event in enumerate(story):
        await log.append(event, number % PARTITIONS)
    found: list[Received] = []
    positions: dict[int, int] | None = None
    for take in (1, 2, 3, 5, 8, 100):
        with subscribe(backend.kafka, prefix=prefix, positions=positions, follow=False) as events:
            found += islice(events, take)
            positions = events.positions
    assert len(found) == len(story)
    assert {item.position: item.event for item in found} == {
        (number % PARTITIONS, number // PARTITIONS): event for number, event in enumerate(story)
    }


async def test_replay_then_live(log: KafkaLog, backend: Backend, prefix: str) -> None:
    await log.append(accepted(), 0)
    with subscribe(backend.kafka, prefix=prefix) as events:
        assert isinstance(next_of(events).event, Event)
        assert events.poll(0) is None
        live = started()
        position = await log.append(live, 0)
        received = next_of(events)
    assert (received.event, received.position) == (live, position)


async def test_a_live_event_comes_as_soon_as_it_is_there(log: KafkaLog, backend: Backend, prefix: str) -> None:
    with subscribe(backend.kafka, prefix=prefix) as events:
        await log.append(accepted(), 0)
        received = events.poll(3600)  # waiting for a full batch would exceed the time limit of tests
    assert received is not None


async def test_what_comes_after_the_end_is_left_for_the_next_time(log: KafkaLog, backend: Backend, prefix: str) -> None:
    await log.append(accepted(), 0)
    events = subscribe(backend.kafka, prefix=prefix, follow=False)
    later = started()
    await log.append(later, 0)
    with events:
        assert len(list(events)) == 1
    with subscribe(backend.kafka, prefix=prefix, positions=events.positions, follow=False) as rest:
        assert [item.event for item in rest] == [later]


async def test_since_a_time_starts_with_the_first_record_at_or_after_it(
    log: KafkaLog, backend: Backend, prefix: str
) -> None:
    story = [accepted(), started(), progress(), finished()]
    for event in story:
        await log.append(event, 2)
    with subscribe(backend.kafka, prefix=prefix, follow=False) as events:
        received = list(events)
    since = received[2].timestamp_ms
    expected = [item.event for item in received if item.timestamp_ms >= since]
    with subscribe(
        backend.kafka, prefix=prefix, since=datetime.fromtimestamp(since / 1000, UTC), follow=False
    ) as events:
        assert [item.event for item in events] == expected
    with subscribe(backend.kafka, prefix=prefix, since=datetime(2200, 1, 1, tzinfo=UTC), follow=False) as events:
        assert list(events) == []


async def test_one_tasks_records_only_and_the_positions_pass_the_others(
    log: KafkaLog, backend: Backend, prefix: str, topics: Topics
) -> None:
    mine = [accepted(OTHER), started(OTHER)]
    await log.append(accepted(), 0)
    await log.append(mine[0], 0)
    write_raw(backend.kafka, topics.events, 0, (str(OTHER).encode(), b"no event"))
    await log.append(started(), 0)
    await log.append(mine[1], 0)
    await log.append(finished(), 0)
    with subscribe(backend.kafka, prefix=prefix, task_id=OTHER, follow=False) as events:
        received = list(events)
        assert events.positions[0] == 6
    assert [item.event for item in received] == [mine[0], None, mine[1]]


async def test_what_is_no_event_comes_with_the_reason_and_an_unknown_type_as_such(
    log: KafkaLog, backend: Backend, prefix: str, topics: Topics
) -> None:
    newer = json.loads(encode(started())) | {"type": "org.pulpproject.task.paused.v1", "extra": 1}
    write_raw(
        backend.kafka,
        topics.events,
        3,
        (b"k", b"\xff"),
        (b"k", None),
        (str(TASK).encode(), json.dumps(newer).encode()),
    )
    with subscribe(backend.kafka, prefix=prefix, follow=False) as events:
        bad, empty, unknown = events
    assert (bad.event, bad.raw, empty.event, empty.raw) == (None, b"\xff", None, None)
    assert bad.error is not None
    assert "utf-8" in bad.error
    assert empty.error == "the record has no value"
    assert isinstance(unknown.event, UnknownEvent)
    assert unknown.error is None
    assert json.loads(unknown.raw or b"") == newer


async def test_a_topic_made_anew_is_refused(log: KafkaLog, backend: Backend, prefix: str) -> None:
    with subscribe(backend.kafka, prefix=prefix) as events:
        assert events.topic_id == describe(backend.kafka, f"{prefix}.events").topic_id
    with pytest.raises(TopicMismatch, match="created again"):
        subscribe(backend.kafka, prefix=prefix, positions={0: 0}, topic_id="AAAAAAAAAAAAAAAAAAAAAA")


async def test_positions_that_the_log_does_not_hold_are_refused_never_skipped(
    log: KafkaLog, backend: Backend, prefix: str, topics: Topics
) -> None:
    for _ in range(3):
        await log.append(accepted(uuid4()), 0)
    with pytest.raises(OffsetOutOfRange, match="ends at 3, before position 4"):
        subscribe(backend.kafka, prefix=prefix, positions={0: 4})
    with pytest.raises(TopicMismatch, match="no partition 7"):
        subscribe(backend.kafka, prefix=prefix, positions={0: 0, 7: 0})
    delete_records(backend.kafka, topics.events, {0: 2})
    with (
        subscribe(backend.kafka, prefix=prefix, positions={0: 1}, follow=False) as events,
        pytest.raises(OffsetOutOfRange, match="nothing was skipped"),
    ):
        list(events)
    with subscribe(backend.kafka, prefix=prefix, follow=False) as events:  # it starts with what there is
        assert [item.position.offset for item in events] == [2]


def test_bad_arguments_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(BadInput, match="its zone"):
        subscribe("127.0.0.1:1", since=datetime(2026, 1, 1))
    with pytest.raises(BadInput, match="not from both"):
        subscribe("127.0.0.1:1", since=datetime(2026, 1, 1, tzinfo=UTC), positions={0: 1})


async def test_a_topic_that_is_not_there_says_so(backend: Backend) -> None:
    with pytest.raises(LogUnavailable, match=r"test-none\.events"):
        subscribe(backend.kafka, prefix="test-none")


Run = Callable[[], Awaitable[list[list[str]]]]


@pytest.fixture
def example(backend: Backend, prefix: str, tmp_path: Path) -> Run:
    async def run() -> list[list[str]]:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                str(EXAMPLE),
                str(tmp_path / "outcomes.sqlite"),
                "--kafka",
                backend.kafka,
                "--prefix",
                prefix,
            ),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0
        return [line.split() for line in out.decode().splitlines()]

    return run


async def test_the_example_counts_every_end_once(log: KafkaLog, example: Run) -> None:
    zoo = (Resource("repository", "zoo"),)
    await log.append(accepted(resources=zoo), 0)
    await log.append(accepted(OTHER, operation="publish"), 1)
    await log.append(started(), 0)
    assert await example() == []
    await log.append(finished(), 0)
    await log.append(finished(outcome=Outcome.FAILED), 0)  # too late: the first one counts
    await log.append(finished(OTHER, outcome=Outcome.CANCELLED), 1)  # of an attempt that never was
    assert await example() == [["sync", "successful", "1"]]
    await log.append(finished(OTHER, outcome=Outcome.CANCELLED, attempt_id=None), 1)
    assert await example() == [["publish", "cancelled", "1"], ["sync", "successful", "1"]]
    assert await example() == [["publish", "cancelled", "1"], ["sync", "successful", "1"]]
