"""The contract of a log: the one in memory and Apache Kafka pass the same tests."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from msgspec import Raw
from pulp_events.codec import decode
from pulp_events.errors import EventTooLarge, LogUnavailable
from pulp_events.events import Event
from pulp_events.log import KafkaLog, TimedLog
from pulp_events.memory import MemoryLog
from pulp_events.reader import Reader, Record
from pulp_events.topics import Topics

from tests.support.events import accepted, progress, started

PARTITIONS = 4
Read = Callable[[int], list[Record]]
"""All records of a partition."""


@pytest.fixture
async def memory_log() -> tuple[TimedLog, Read]:
    log = MemoryLog(PARTITIONS, itertools.count(1_700_000_000_000, 10).__next__)
    return log, lambda partition: log.records[partition]


@pytest.fixture
async def kafka_log(request: pytest.FixtureRequest) -> AsyncIterator[tuple[TimedLog, Read]]:
    bootstrap: str = request.getfixturevalue("backend").kafka
    topics: Topics = request.getfixturevalue("topics")
    log = KafkaLog(bootstrap, topics.events, PARTITIONS)
    await log.start()

    def read(partition: int) -> list[Record]:
        ends = {partition: asyncio.run(ends_of(bootstrap, topics.events))[partition]}
        with Reader(bootstrap, topics.events, {partition: 0}) as reader:
            return [record for _, records in reader.until(ends) for record in records]

    async def ends_of(bootstrap: str, topic: str) -> dict[int, int]:
        other = KafkaLog(bootstrap, topic, PARTITIONS)
        try:
            return await other.end_offsets()
        finally:
            await other.close()

    yield log, read
    await log.close()


@pytest.fixture(params=["memory", "kafka"])
def log_and_read(request: pytest.FixtureRequest) -> tuple[TimedLog, Read]:
    if request.param == "kafka":
        request.getfixturevalue("topics")
    found: tuple[TimedLog, Read] = request.getfixturevalue(f"{request.param}_log")
    return found


async def read_events(read: Read, partition: int) -> list[Event]:
    records = await asyncio.to_thread(read, partition)
    events = [decode(record.key, record.value) for record in records]
    assert [record.offset for record in records] == list(range(len(records)))
    return [event for event in events if isinstance(event, Event)]


async def test_one_tasks_events_keep_their_order_and_every_append_tells_its_position(
    log_and_read: tuple[TimedLog, Read],
) -> None:
    log, read = log_and_read
    story = [accepted(), started(), *(progress(sequence=n) for n in range(1, 50))]
    positions = [await log.append(event, 2) for event in story]
    assert positions == [(2, offset) for offset in range(len(story))]
    assert await read_events(read, 2) == story


async def test_appends_at_the_same_time_are_all_there_once(log_and_read: tuple[TimedLog, Read]) -> None:
    log, read = log_and_read
    story = [accepted(uuid4()) for _ in range(200)]
    positions = await asyncio.gather(*(log.append(event, 1) for event in story))
    assert sorted(positions) == [(1, offset) for offset in range(200)]
    found = await read_events(read, 1)
    assert [found[position.offset] for position in positions] == story


async def test_the_end_offsets_include_all_that_was_appended_before(log_and_read: tuple[TimedLog, Read]) -> None:
    log, _ = log_and_read
    for count in range(1, 6):
        await log.append(accepted(uuid4()), 3)
        assert await asyncio.gather(*(log.end_offsets() for _ in range(5))) == [{0: 0, 1: 0, 2: 0, 3: count}] * 5


async def test_the_log_is_entered_at_a_time(log_and_read: tuple[TimedLog, Read]) -> None:
    log, read = log_and_read
    for _ in range(30):
        await log.append(accepted(uuid4()), 1)
    await log.append(accepted(uuid4()), 2)
    times = [record.timestamp_ms for record in await asyncio.to_thread(read, 1)]
    assert await log.offsets_since(0) == dict.fromkeys(range(PARTITIONS), 0)
    for moment in (times[0], times[15], times[15] + 1, times[-1]):
        first = next((offset for offset, time_ms in enumerate(times) if time_ms >= moment), len(times))
        assert (await log.offsets_since(moment))[1] == first
    assert await log.offsets_since(times[-1] + 3_600_000) == {0: 0, 1: 30, 2: 1, 3: 0}


async def test_an_event_that_is_too_large_is_refused_and_nothing_is_written(
    log_and_read: tuple[TimedLog, Read],
) -> None:
    log, _ = log_and_read
    with pytest.raises(EventTooLarge, match="1000000"):
        await log.append(accepted(arguments=Raw(b'{"a":"' + b"x" * 1_000_000 + b'"}')), 0)
    assert await log.end_offsets() == dict.fromkeys(range(PARTITIONS), 0)


async def test_a_partition_that_is_not_there_is_refused(log_and_read: tuple[TimedLog, Read]) -> None:
    log, _ = log_and_read
    with pytest.raises(LogUnavailable):
        await log.append(accepted(), PARTITIONS)
