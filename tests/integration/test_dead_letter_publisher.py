"""Dead letters get into their topic at least once, with what an operator needs to find the record."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from psycopg import AsyncConnection
from pulp_events import admin
from pulp_events.reader import Reader, Record
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.publisher import DeadLetterPublisher
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.projection import execute, project, settings_of


@dataclass
class Scene:
    """Dead letters in the read model, and their topic."""

    settings: Settings
    connection: AsyncConnection
    owned: set[int]

    async def poisoned(self, *records: RawRecord) -> None:
        producer = raw_producer.make(self.settings.kafka)
        await asyncio.to_thread(raw_producer.append, producer, self.settings.topics.events, records)
        kafka, topic = self.settings.kafka, self.settings.topics.events
        await project(self.settings, await asyncio.to_thread(admin.end_offsets, kafka, topic, PARTITIONS))

    def publisher(self) -> DeadLetterPublisher:
        return DeadLetterPublisher(
            self.settings.kafka, self.settings.topics, self.settings.postgres, lambda: self.owned
        )

    async def sent(self) -> int:
        return await self.publisher().publish(self.connection)

    def topic(self) -> list[Record]:
        kafka, name = self.settings.kafka, self.settings.topics.dead_letters
        with Reader(kafka, name, {0: 0}) as reader:
            return [record for _, found in reader.until(admin.end_offsets(kafka, name, 1)) for record in found]


@pytest.fixture
async def scene(backend: Backend, database: str, topics: Topics) -> AsyncIterator[Scene]:
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        yield Scene(settings_of(backend.kafka, database, topics), connection, set(range(PARTITIONS)))


async def test_a_letter_says_where_it_was_and_why(scene: Scene, topics: Topics) -> None:
    await scene.poisoned(RawRecord(b"its key", b"no event", (("content-type", b"text/plain"), ("empty", None)), 2))
    assert await scene.sent() == 1
    (letter,) = scene.topic()
    assert (letter.key, letter.value) == (f"{topics.events}/2/0".encode(), b"no event")
    headers = dict(letter.headers)
    assert (headers.pop("reason") or b"").startswith(b"no event: ")
    assert headers.pop("broker-time")
    assert headers == {"original-key": b"its key", "original-content-type": b"text/plain", "original-empty": None}


async def test_each_is_sent_once(scene: Scene) -> None:
    await scene.poisoned(*(RawRecord(None, None, (), partition) for partition in range(PARTITIONS)))
    assert [await scene.sent(), await scene.sent()] == [PARTITIONS, 0]
    assert len(scene.topic()) == PARTITIONS


async def test_a_crash_before_the_mark_sends_it_once_more(scene: Scene) -> None:
    await scene.poisoned(RawRecord(b"k", b"no event", (), 1))
    await scene.sent()
    await execute(scene.settings.postgres, "update generation_1.dead_letters set sent = false")
    await scene.sent()
    assert len({(letter.key, letter.value) for letter in scene.topic()}) == 1
    assert len(scene.topic()) == 2


async def test_only_those_of_its_own_partitions(scene: Scene) -> None:
    await scene.poisoned(RawRecord(b"k", b"one", (), 1), RawRecord(b"k", b"two", (), 2))
    scene.owned = {2}
    assert await scene.sent() == 1
    assert [letter.value for letter in scene.topic()] == [b"two"]


async def test_more_than_one_round_takes(scene: Scene) -> None:
    await scene.poisoned(*(RawRecord(b"k", str(number).encode(), (), 3) for number in range(250)))
    assert [await scene.sent() for _ in range(4)] == [100, 100, 50, 0]
    assert [letter.value for letter in scene.topic()] == [str(number).encode() for number in range(250)]


async def test_a_record_of_the_greatest_size_is_named_without_its_value(scene: Scene, topics: Topics) -> None:
    greatest = RawRecord(b"k", b"x" * (raw_producer.MAX_RECORD_BYTES - 100), (), 0)
    await scene.poisoned(greatest, RawRecord(b"k", b"small", (), 0))
    assert await scene.sent() == 2
    letters = {letter.key: letter for letter in scene.topic()}
    cut = letters[f"{topics.events}/0/0".encode()]
    assert cut.value is None
    size = raw_producer.MAX_RECORD_BYTES - 100
    assert dict(cut.headers)["left-out"] == f"{size} bytes and 0 headers, which are at these coordinates".encode()
    assert {letter.value for letter in letters.values()} == {None, b"small"}


async def test_a_record_that_is_full_of_headers_stops_nothing(scene: Scene) -> None:
    """What is added for each of its headers makes it too large, with or without its value."""
    full = tuple((f"h{number}", b"x" * 500) for number in range(2050))
    await scene.poisoned(RawRecord(b"its key", b"", full, 0), RawRecord(b"k", b"small", (), 0))
    assert await scene.sent() == 2
    cut = next(letter for letter in scene.topic() if letter.value is None)
    headers = dict(cut.headers)
    assert (headers["reason"] or b"").startswith(b"no event: ")
    assert headers["original-key"] == b"its key"
    assert headers["original-h0"] == b"x" * 500
    left = len(full) - sum(name.startswith("original-h") for name, _ in cut.headers)
    assert 0 < left < len(full)
    assert headers["left-out"] == f"0 bytes and {left} headers, which are at these coordinates".encode()
