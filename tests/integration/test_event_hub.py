"""The hub tails the topic while somebody subscribes, and at no other time; so nobody misses anything."""

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from random import Random
from uuid import UUID, uuid4

import pytest
from pulp_api.streaming import hub as stream
from pulp_api.streaming import recent_events, sse
from pulp_api.streaming.hub import Hub
from pulp_api.streaming.outlets import SharedPart
from pulp_api.streaming.recent_events import RecentSpan
from pulp_api.streaming.sse import messages
from pulp_api.streaming.streamed_events import Choice
from pulp_api.streaming.task_origins import TaskOrigins
from pulp_events.cursor import Cursor
from pulp_events.filters import Filter, Origin
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_projections.reading.positions import Positions

from tests.conftest import PARTITIONS
from tests.support.api_process import EventSource
from tests.support.backends import Backend
from tests.support.events import accepted

LIMIT_S = 30
Place = tuple[int, int]
TOPIC_ID = "A" * 22
START = (0,) * PARTITIONS


async def look(task_ids: Collection[UUID]) -> Mapping[UUID, Origin]:
    raise AssertionError("nobody asks for origins here")


NO_POSITIONS = Positions("")


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    yield log
    await log.close()


@pytest.fixture
async def hub(backend: Backend, topics: Topics, log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(stream, "_KEEP_TAIL_S", 0.05)
    hub = Hub(backend.kafka, topics.events, TOPIC_ID, PARTITIONS, log.end_offsets, TaskOrigins(NO_POSITIONS, look))
    yield hub
    await hub.close()
    assert tails() == 0


def tails() -> int:
    """Threads that follow the topic."""
    return sum(thread.name == "event-tail" for thread in threading.enumerate())


async def until_tails(count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while tails() != count:  # noqa: ASYNC110  # threads cannot be waited for from here
            await asyncio.sleep(0.01)


async def happens(log: KafkaLog, count: int) -> list[Place]:
    positions = [await log.append(accepted(uuid4()), number % PARTITIONS) for number in range(count)]
    return [(position.partition, position.offset) for position in positions]


async def read(hub: Hub, start: Sequence[int], count: int) -> list[Place]:
    """Subscribe until this many have arrived."""
    found: list[Place] = []
    items = hub.items(start)
    async with asyncio.timeout(LIMIT_S):
        async for item in items:
            events = item.events if isinstance(item, RecentSpan) else item
            found += [(event.partition, event.offset) for event in events]
            if len(found) >= count:
                break
    await items.aclose()
    return found


async def test_the_topic_is_tailed_only_while_somebody_subscribes(hub: Hub, log: KafkaLog) -> None:
    happened: list[Place] = []
    for number in range(3):
        await until_tails(0)
        happened += await happens(log, 10)
        assert tails() == 0
        reading = asyncio.create_task(read(hub, START, 10 * (2 * number + 2)))
        await until_tails(1)
        happened += await happens(log, 10)
        assert sorted(await reading) == sorted(happened)


async def test_who_comes_back_within_a_while_meets_the_same_tail(
    hub: Hub, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_KEEP_TAIL_S", 600)
    happened = await happens(log, 10)
    assert sorted(await read(hub, START, 10)) == sorted(happened)
    [tail] = [thread for thread in threading.enumerate() if thread.name == "event-tail"]
    happened += await happens(log, 10)
    assert sorted(await read(hub, START, 20)) == sorted(happened)
    assert [thread for thread in threading.enumerate() if thread.name == "event-tail"] == [tail]


async def test_many_who_come_at_once_share_one_tail(hub: Hub, log: KafkaLog) -> None:
    happened = await happens(log, 10)
    reading = [asyncio.create_task(read(hub, START, 30)) for _ in range(8)]
    happened += await happens(log, 10)
    await until_tails(1)
    happened += await happens(log, 10)
    for found in await asyncio.gather(*reading):
        assert sorted(found) == sorted(happened)


async def test_a_hub_that_closes_while_somebody_comes_leaves_nothing_behind(hub: Hub) -> None:
    reading = asyncio.create_task(read(hub, START, 1))
    await asyncio.sleep(0)  # it requests the ends
    await hub.close()
    assert await reading == []


async def never() -> str | None:
    return None


async def test_subscribers_of_any_pace_get_everything_once(
    hub: Hub, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So few events are kept that a slow subscriber falls behind, and reads the rest from the log."""
    monkeypatch.setattr(recent_events, "_MOST_EVENTS", 6)
    happened: list[Place] = []

    async def subscriber(seed: int) -> list[Place]:
        random, source = Random(seed), EventSource()
        choice = Choice(Filter(), is_named=seed % 2 == 0)
        while len(source.messages) < 300:
            place = Cursor.parse(source.last_id) if source.last_id else Cursor(TOPIC_ID, START)
            stream = messages(hub, place, choice, never)
            async for chunk in stream:
                source.feed(chunk)
                if len(source.messages) >= 300 or random.random() < 0.1:
                    break
                if random.random() < 0.3:
                    await asyncio.sleep(random.choice([0, 0, 0.001, 0.05]))
            await stream.aclose()
        return [message.place for message in source.messages]

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = [group.create_task(subscriber(seed)) for seed in range(12)]
        for _ in range(30):
            happened += await happens(log, 10)
    for found in reading:
        assert sorted(found.result()) == sorted(happened)
        for partition in range(PARTITIONS):
            offsets = [offset for number, offset in found.result() if number == partition]
            assert offsets == sorted(offsets)


async def test_what_is_written_beside_a_stream_fits_what_it_yields(
    hub: Hub, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that can take nothing for a while are served by their streams again, from where they were."""
    monkeypatch.setattr(recent_events, "_MOST_EVENTS", 6)
    happened: list[Place] = []

    async def subscriber(seed: int) -> tuple[list[Place], int]:
        random, source, written = Random(seed), EventSource(), 0

        class Outlet:
            most_text_bytes = 64 * 1024

            def write(self, part: SharedPart) -> bool:
                nonlocal written
                if random.random() < seed / 12 or len(source.messages) >= 300:
                    return False
                source.feed(unframed(part.plain))
                written += 1
                return True

        while len(source.messages) < 300:
            place = Cursor.parse(source.last_id) if source.last_id else Cursor(TOPIC_ID, START)
            stream = messages(hub, place, Choice(Filter()), never, outlet=Outlet())
            async for chunk in stream:
                source.feed(chunk)
                if len(source.messages) >= 300 or random.random() < 0.1:
                    break
                if random.random() < 0.3:
                    await asyncio.sleep(random.choice([0, 0.001, 0.05]))
            await stream.aclose()
        return [message.place for message in source.messages], written

    # The last part may have been written: then a ping follows, which is yielded as it cannot be written.
    monkeypatch.setattr(stream, "_IDLE_S", 0.3)
    monkeypatch.setattr(sse, "_PING_S", 0.3)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = [group.create_task(subscriber(seed)) for seed in range(12)]
        for _ in range(30):
            happened += await happens(log, 10)
    for found in reading:
        places, _ = found.result()
        assert sorted(places) == sorted(happened)
        for partition in range(PARTITIONS):
            offsets = [offset for number, offset in places if number == partition]
            assert offsets == sorted(offsets)
    assert any(found.result()[1] for found in reading)


def unframed(chunks: bytes) -> bytes:
    """The contents of HTTP's chunks."""
    found = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        found, chunks = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return found


async def test_events_are_made_once_for_all_who_want_the_same(
    hub: Hub, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[bytes]] = []
    whole = RecentSpan.chunks

    def chunks(span: RecentSpan, choice: Choice) -> list[bytes]:
        given.append(whole(span, choice))
        return given[-1]

    monkeypatch.setattr(RecentSpan, "chunks", chunks)

    async def subscriber() -> bytes:
        source, received = EventSource(), b""
        async for chunk in messages(hub, Cursor(TOPIC_ID, START), Choice(Filter()), never):
            received += chunk
            source.feed(chunk)
            if len(source.messages) == 10:
                return received
        raise AssertionError("the stream has ended")

    async with asyncio.timeout(LIMIT_S):
        reading = [asyncio.create_task(subscriber()) for _ in range(20)]
        await until_tails(1)
        await happens(log, 10)
        received = await asyncio.gather(*reading)
    assert len(set(received)) == 1  # ids included
    assert len(given) >= 20
    assert len({id(each) for each in given}) <= len(given) // 20
