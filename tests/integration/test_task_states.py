"""The topic of states holds the present state of each task, once projected, whatever is killed, frozen or replaced."""

import asyncio
import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from jsonschema import Draft202012Validator
from pulp_events import schemas
from pulp_events.codec import key_of
from pulp_events.errors import LogUnavailable
from pulp_events.log import KafkaLog
from pulp_events.task_states import STATE_TYPE, TaskState, decode_state
from pulp_events.topics import Topics
from pulp_processor.publishing import publisher
from pulp_processor.publishing.publisher import publish_page
from pulp_processor.publishing.state_log import StateLog, StatePlace, StateRecord, start_over
from pulp_processor.rebuilding import activation, history, rebuild
from pulp_projections.connection import connect

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.events import accepted, finished, progress, purged, started
from tests.support.months import log_with_times
from tests.support.processor_process import Installation, installation
from tests.support.projection import append_all, execute, project, settings_of, stories
from tests.support.records import PlainFold, life
from tests.support.truth import read_log

Facts = dict[str, Any]


class Place:
    """A log and its projection."""

    def __init__(self, kafka: str, database: str, topics: Topics) -> None:
        self.kafka, self.database, self.topics = kafka, database, topics
        self.log = KafkaLog(kafka, topics.events, PARTITIONS)

    async def projected(self) -> None:
        await project(settings_of(self.kafka, self.database, self.topics), await self.log.end_offsets())

    async def publish(self, log: StateLog, pages: int = 10_000) -> None:
        """This many pages, or all there are."""
        async with await connect(self.database, "test") as connection:
            places = log.places()
            while pages and await publish_page(connection, log, places):
                pages -= 1

    def opened(self) -> StateLog:
        return StateLog.open(self.kafka, self.topics, PARTITIONS)


@pytest.fixture
async def place(backend: Backend, database: str, topics: Topics) -> Any:
    made = Place(backend.kafka, database, topics)
    yield made
    await made.log.close()


def records_in(kafka: str, topic: str) -> Iterator[tuple[int, bytes | None, bytes | None]]:
    """All records that are committed, with their partition, as any Kafka client reads them."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": "test", "enable.partition.eof": True, "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        left = PARTITIONS
        while left:
            message = consumer.poll(30)
            assert message is not None
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                left -= 1
            else:
                key, value = message.key(), message.value()
                assert message.partition() is not None
                yield message.partition() or 0, _bytes(key), _bytes(value)
    finally:
        consumer.close()


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def last_states(kafka: str, topics: Topics) -> dict[str, Facts]:
    """What is left after compaction: the last record of each task, and nothing of a purged one."""
    found: dict[str, Facts] = {}
    for partition, key, value in records_in(kafka, topics.states):
        now = decode_state(key, value)
        if now.state is None:
            found.pop(str(now.task_id), None)
        else:
            found[str(now.task_id)] = facts_of(now.state)
            assert now.state.position.startswith(f"{partition}:")
    return found


def facts_of(state: TaskState) -> Facts:
    return {
        "state": state.state.value,
        "attempt": state.attempt,
        "progress": json.loads(bytes(state.progress)),
        "version": state.version,
        "offset": int(state.position.partition(":")[2]),
    }


def folded(kafka: str, topics: Topics, ends: Mapping[int, int]) -> dict[str, Facts]:
    """The same from a fold that shares no code with the product."""
    found: dict[str, Facts] = {}
    for records in read_log(kafka, topics, dict(ends)).values():
        for task_id, task in PlainFold().read(records).tasks.items():
            if task.purged_by is None:
                found[task_id] = {
                    "state": task.state,
                    "attempt": task.attempt,
                    "progress": task.progress,
                    "version": task.version,
                    "offset": task.last_offset,
                }
    return found


async def test_the_last_records_are_the_fold_of_the_log_wherever_publishers_were_cut_off(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_PAGE_EVENTS", 7)
    monkeypatch.setattr(publisher, "_PAGE_TASKS", 3)
    chance = random.Random(20261129)
    for seed in (1, 2, 3):
        await append_all(place.log, stories(seed, PARTITIONS, tasks=10, length=60))
        await place.projected()
        if seed == 3:
            await asyncio.to_thread(start_over, place.kafka, place.topics, PARTITIONS)
        for _ in range(4):
            log = place.opened()
            await place.publish(log, pages=chance.randrange(4))
            log._producer.begin_transaction()  # and something is in flight when it is cut off
            log._producer.produce(place.topics.states, key=b"x", value=b"never seen", partition=0)
            log._producer.flush()
            log.close()
    log = place.opened()
    await place.publish(log)
    log.close()
    ends = await place.log.end_offsets()
    expected = folded(place.kafka, place.topics, ends)
    assert len(expected) > 20
    assert last_states(place.kafka, place.topics) == expected


async def test_a_frozen_publisher_writes_nothing_once_another_one_works(place: Place) -> None:
    event = accepted()
    await place.log.append(event, 1)
    await place.projected()
    frozen = place.opened()
    successor = place.opened()
    await place.publish(successor)
    [(partition, key, old)] = records_in(place.kafka, place.topics.states)
    assert key is not None
    await place.log.append(started(), 1)
    await place.projected()
    await place.publish(successor)
    with pytest.raises(LogUnavailable):  # it read this before it was frozen
        frozen.publish([StateRecord(key, old, partition)], {1: StatePlace(1, 1)})
    frozen.close()
    await place.log.append(progress(), 1)
    await place.projected()
    await place.publish(successor)
    successor.close()
    assert [fact["version"] for fact in last_states(place.kafka, place.topics).values()] == [3]


async def test_a_state_fits_its_schema_and_a_purged_task_leaves_a_tombstone(place: Place) -> None:
    await append_all(place.log, [(accepted(), 2), (started(), 2), (finished(), 2)])
    await place.projected()
    log = place.opened()
    await place.publish(log)
    [(_, key, value)] = records_in(place.kafka, place.topics.states)
    assert key == str(accepted().task_id).encode()
    document = json.loads(value or b"")
    assert list(Draft202012Validator(json.loads(schemas.text(STATE_TYPE))).iter_errors(document)) == []
    assert (document["type"], document["data"]["state"], document["data"]["position"]) == (
        STATE_TYPE,
        "successful",
        "2:2",
    )
    await place.log.append(purged(), 2)
    await place.projected()
    await place.publish(log)
    log.close()
    *_, (_, key, value) = records_in(place.kafka, place.topics.states)
    assert (key, value) == (str(accepted().task_id).encode(), None)


async def test_it_starts_over_when_told_and_when_another_generation_is_active(place: Place) -> None:
    await append_all(place.log, [(accepted(), 2), (started(), 2)])
    await place.projected()
    log = place.opened()
    await place.publish(log)
    await place.publish(log)  # nothing is new: nothing is written
    assert len(list(records_in(place.kafka, place.topics.states))) == 1
    start_over(place.kafka, place.topics, PARTITIONS)
    with pytest.raises(LogUnavailable):  # the publisher at work notices with its next page, and opens another one
        log.publish((), {2: StatePlace(2, 1)})
    log.close()
    again = place.opened()
    await place.publish(again)
    assert len(list(records_in(place.kafka, place.topics.states))) == 2
    await execute(place.database, "insert into generations (generation, status) values (2, 'active')")
    await execute(place.database, "update active_generation set generation = 2")
    await place.publish(again)
    again.close()
    first, *others = [value for _, _, value in records_in(place.kafka, place.topics.states)]
    assert others == [first, first]  # idempotent: the same bytes


async def test_every_task_is_published_again_also_those_whose_events_are_all_detached(
    backend: Backend, database: str, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=62)
    old, old_and_purged, purged_later, new = (uuid4() for _ in range(4))
    stories_and_times = [
        *((each, long_ago) for each in [*life(old), *life(old_and_purged), purged(old_and_purged)]),
        *((each, long_ago) for each in life(purged_later)),
        *((each, now) for each in [purged(purged_later), *life(new)]),
    ]
    told = [(each, 1, time) for each, time in stories_and_times]
    settings = await log_with_times(backend, database, topics, tmp_path / "archive", told)
    ends = {partition: len(told) * (partition == 1) for partition in range(PARTITIONS)}
    expected = folded(backend.kafka, topics, ends)
    assert {*expected} == {str(old), str(new)}
    this_month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert (await history.detach(settings, this_month)).detached
    monkeypatch.setattr(publisher, "_PAGE_TASKS", 1)
    place = Place(backend.kafka, database, topics)

    async def published_one_page_at_a_time() -> list[tuple[int, bytes | None, bytes | None]]:
        before = len(list(records_in(place.kafka, topics.states)))
        for _ in range(7):  # each goes on where the one before it was cut off
            log = place.opened()
            await place.publish(log, pages=1)
            log.close()
        return list(records_in(place.kafka, topics.states))[before:]

    first = await published_one_page_at_a_time()  # as into a topic that was created again
    assert last_states(place.kafka, topics) == expected
    assert len(first) == 4  # two states, and two tombstones
    await asyncio.to_thread(start_over, place.kafka, topics, PARTITIONS)
    assert await published_one_page_at_a_time() == first
    await rebuild.start(settings)
    await activation.activate(settings, unverified=True)
    assert await published_one_page_at_a_time() == first
    await place.log.close()


async def test_a_healed_task_is_published_again(place: Place, tmp_path: Path) -> None:
    """Its end was published long ago, so no later event would correct it."""
    task_id = uuid4()
    await append_all(place.log, [(each, 1) for each in (*life(task_id), *life(uuid4()))])
    await place.projected()
    right = folded(place.kafka, place.topics, await place.log.end_offsets())
    await execute(
        place.database,
        "update generation_1.tasks set state = 'failed', partition = 2, version = version + 1 where task_id = %s",
        [task_id],
    )
    at_work = place.opened()
    await place.publish(at_work)
    assert [
        partition for partition, key, _ in records_in(place.kafka, place.topics.states) if key == key_of(task_id)
    ] == [2]
    env = environment(
        tmp_path,
        PULP_KAFKA=str(place.kafka),
        PULP_POSTGRES=place.database,
        PULP_TOPIC_PREFIX=place.topics.events.removesuffix(".events"),
    )
    healed = await asyncio.to_thread(pulp_tasks, "rebuild", "--task", str(task_id), env=env)
    assert (healed.returncode, healed.stdout.splitlines()[-1]) == (0, "its state is published again"), healed.stderr
    published = list(records_in(place.kafka, place.topics.states))
    ours = {partition: value for partition, key, value in published if key == key_of(task_id)}
    assert ours.pop(2) is None  # a tombstone in the partition of the damaged row
    state = decode_state(key_of(task_id), ours.pop(1)).state
    assert state is not None
    assert facts_of(state) == right[str(task_id)]
    with pytest.raises(LogUnavailable):  # what the publisher at work read before comes too late
        at_work.publish((), {1: StatePlace(1, 1)})
    at_work.close()
    again = place.opened()
    written = len(list(records_in(place.kafka, place.topics.states)))
    await place.publish(again)
    again.close()
    assert len(list(records_in(place.kafka, place.topics.states))) == written  # its place has not moved


@pytest.fixture
def site(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> Iterator[Installation]:
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


async def test_a_processor_that_is_killed_leaves_it_right_in_the_end(site: Installation) -> None:
    for _ in range(2):
        async with site.growing():
            processor = site.start(PULP_STATE_TOPIC="yes")
            await processor.up()
            await site.reached({partition: offset + 200 for partition, offset in (await site.positions()).items()})
            processor.kill()
    last = await site.start(PULP_STATE_TOPIC="yes").up()
    ends = site.ends()
    await site.reached(ends)
    while last_states(site.kafka, site.topics) != (expected := folded(site.kafka, site.topics, site.ends())):
        assert last.is_running(), last.output()
    assert len(expected) > 100
