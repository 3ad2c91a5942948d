"""The hub tails the topic while somebody subscribes, and at no other time; nobody misses anything by it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import pytest
from pulp_api.streaming import hub as stream
from pulp_api.streaming.hub import Hub
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import accepted

LIMIT_S = 30
Place = tuple[int, int]
START = dict.fromkeys(range(PARTITIONS), 0)


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    yield log
    await log.close()


@pytest.fixture
async def hub(backend: Backend, topics: Topics, log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(stream, "_KEEP_TAIL_S", 0.05)
    hub = Hub(backend.kafka, topics.events, "topic", PARTITIONS, log.end_offsets)
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


async def read(hub: Hub, start: Mapping[int, int], count: int) -> list[Place]:
    """Subscribe, until so many have come."""
    found: list[Place] = []
    items = hub.items(start)
    async with asyncio.timeout(LIMIT_S):
        async for page in items:
            found += [(item.partition, item.offset) for item in page]
            if len(found) >= count:
                break
    await items.aclose()  # type: ignore[attr-defined]  # it is a generator
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
    await asyncio.sleep(0)  # it asks for the ends
    await hub.close()
    assert await reading == []
