"""The processor as a process: stopped, killed, started again, several at the same time; nothing is lost or projected
twice."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec import Raw
from pulp_events.codec import encode, key_of
from pulp_events.ids import new_id
from pulp_events.reader import Reader
from pulp_events.topics import Topics
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import accepted
from tests.support.postgres_relay import postgres_relay
from tests.support.processor_process import Installation, installation
from tests.support.projection import execute


@pytest.fixture
def site(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> Iterator[Installation]:
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


async def test_it_projects_and_stops_when_asked(site: Installation) -> None:
    processor = site.start()
    await site.reached(await site.happens())
    ends = await site.happens()
    await site.reached(ends)
    assert await processor.stopped() == 0
    assert list(processor.folder.iterdir()) == []  # Faust would create folders for its tables
    await site.rows_are_right(ends)


async def test_killed_in_the_middle_and_started_again(site: Installation) -> None:
    small = {"PULP_BATCH_RECORDS": "20"}  # so that the process is often in the middle of a batch
    for wanted in (300, 1500):
        async with site.growing():
            processor = site.start("a", **small)
            await site.reached({0: wanted})
            processor.kill()
        assert (await site.positions())[0] < site.ends()[0]
    ends = site.ends()
    last = site.start("a", **small)
    await site.reached(ends)
    assert await last.stopped() == 0
    await site.rows_are_right(ends)


async def test_stopped_in_the_middle_and_started_again(site: Installation) -> None:
    async with site.growing():
        processor = site.start("a", PULP_BATCH_RECORDS="20")
        await site.reached({0: 200})
        assert await processor.stopped() == 0
    at, ends = await site.positions(), site.ends()
    assert at[0] < ends[0]
    await site.rows_are_right(at)  # it has finished what it began
    processor = site.start("a")
    await site.reached(ends)
    assert await processor.stopped() == 0
    await site.rows_are_right(ends)


@pytest.mark.parametrize("wrong", [0, 1_000_000])
async def test_offsets_of_the_consumer_group_decide_nothing(site: Installation, wrong: int) -> None:
    ends = await site.happens(length=400)
    processor = site.start()
    await site.reached(ends)
    assert await processor.stopped() == 0
    ends = await site.happens(length=400)
    set_group_offsets(site, wrong)
    processor = site.start()
    await site.reached(ends)
    assert await processor.stopped() == 0
    assert group_offsets(site) == await site.positions()  # committed to Kafka, for tools that show lag
    await site.rows_are_right(ends)


async def submitted(site: Installation) -> dict[int, int]:
    """Submit tasks that wait, in every partition, so that a reactor has nothing to add; returns the ends of the log."""
    events = [accepted(new_id()) for _ in range(5 * PARTITIONS)]
    return await site.append(
        *(RawRecord(key_of(each.task_id), encode(each), (), at % PARTITIONS) for at, each in enumerate(events))
    )


async def test_records_larger_than_a_fetch_asks_for_are_projected(site: Installation) -> None:
    processor = site.start()
    # Hex of random bytes does not compress to less than half: the batch is larger than a single request.
    events = [
        accepted(new_id(), arguments=Raw(b'{"a":"' + os.urandom(495_000).hex().encode() + b'"}'))
        for _ in range(2 * PARTITIONS)
    ]
    small = [accepted(new_id()) for _ in range(PARTITIONS)]
    ends = await site.append(
        *(RawRecord(key_of(each.task_id), encode(each), (), at % PARTITIONS) for at, each in enumerate(events + small))
    )
    await site.reached(ends)
    with Reader(site.kafka, site.topics.events, dict.fromkeys(range(PARTITIONS), 0)) as reader:
        found = [record for _, records in reader.until(ends) for record in records]
    assert sorted(each.key or b"" for each in found) == sorted(key_of(each.task_id) for each in events + small)
    assert await processor.stopped() == 0
    await site.rows_are_right(ends)


async def test_a_tail_that_a_failover_has_lost_is_projected_again_though_nothing_happens(site: Installation) -> None:
    processor = site.start()
    await site.reached(await submitted(site))
    # What an asynchronous standby has: everything up to some moment.
    tables = (
        "tasks",
        "task_counts",
        "task_days",
        "task_resources",
        "task_causes",
        "task_events",
        "dead_letters",
        "positions",
    )
    await execute(site.database, "create schema standby")
    for table in tables:
        await execute(site.database, f"create table standby.{table} as table generation_1.{table}")
    ends = await submitted(site)
    await site.reached(ends)
    taking_over = [f"truncate {', '.join(f'generation_1.{table}' for table in tables)}"]
    taking_over += [f"insert into generation_1.{table} select * from standby.{table}" for table in tables]
    await execute(site.database, "do $$ begin " + "; ".join(taking_over) + "; end $$")
    assert sum((await site.positions()).values()) < sum(ends.values())
    await site.reached(ends)
    assert site.ends() == ends  # nobody has appended anything
    assert await processor.stopped() == 0
    await site.rows_are_right(ends)


async def test_more_processors_than_partitions(site: Installation) -> None:
    many = [site.start() for _ in range(PARTITIONS + 2)]
    for each in many:
        await each.up()
    ends = await site.happens()
    await site.reached(ends)
    assert all(each.is_running() for each in many)
    assert await asyncio.gather(*(each.stopped() for each in many)) == [0] * len(many)
    await site.rows_are_right(ends)


async def test_another_processor_takes_over(site: Installation) -> None:
    first = await site.start().up()
    second = await site.start().up()
    await site.reached(await site.happens())
    assert await first.stopped() == 0
    await site.reached(await site.happens())
    third = await site.start().up()
    second.kill()
    ends = await site.happens()
    await site.reached(ends)
    assert await third.stopped() == 0
    await site.rows_are_right(ends)


async def test_one_that_stops_leaves_its_group(site: Installation) -> None:
    """Otherwise its partitions wait until its session has ended."""
    processor = await site.start(PULP_SESSION_TIMEOUT_S="60").up()
    await site.reached(await site.happens())
    assert group_members(site) == 1
    assert await processor.stopped() == 0
    assert group_members(site) == 0


def group_members(site: Installation) -> int:
    client = AdminClient({"bootstrap.servers": site.kafka})
    return len(client.describe_consumer_groups([site.group])[site.group].result(10).members)


def set_group_offsets(site: Installation, offset: int) -> None:
    places = [TopicPartition(site.topics.events, partition, offset) for partition in range(PARTITIONS)]
    client = AdminClient({"bootstrap.servers": site.kafka})
    client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(site.group, places)])[site.group].result(10)


def group_offsets(site: Installation) -> dict[int, int]:
    client = AdminClient({"bootstrap.servers": site.kafka})
    found = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(site.group)])[site.group].result(10)
    return {place.partition: place.offset for place in found.topic_partitions}


async def test_idle_for_longer_than_the_stall_limit(site: Installation) -> None:
    processor = await site.start(PULP_STALL_S="5").up()
    ends = await site.happens()
    await site.reached(ends)
    await asyncio.sleep(7)  # the time that is the case here
    assert processor.is_running()
    ends = await site.happens()
    await site.reached(ends)
    assert await processor.stopped() == 0
    assert "PartitionStalled" not in processor.output()


async def test_postgres_away_for_longer_than_the_stall_limit(site: Installation) -> None:
    async with postgres_relay(site.database) as relay:
        processor = await site.start("a", PULP_POSTGRES=relay.conninfo, PULP_STALL_S="5").up()
        await site.reached(await site.happens())
        await relay.cut()
        ends = await site.happens()
        await processor.said("Postgres did not take a batch, trying again")
        await asyncio.sleep(7)  # the time that is the case here
        assert processor.is_running()
        assert await site.positions() != ends
        await relay.open()
        await site.reached(ends)
        assert await processor.stopped() == 0
    await site.rows_are_right(ends)


async def test_a_rebalance_while_postgres_is_away(site: Installation) -> None:
    async with postgres_relay(site.database) as relay:
        first = await site.start(PULP_POSTGRES=relay.conninfo).up()
        await relay.cut()
        second = await site.start().up()  # whose own way to Postgres is open
        ends = await site.happens()
        await first.said("Postgres did not take a batch, trying again")
        await relay.open()
        await site.reached(ends)
        assert [await first.stopped(), await second.stopped()] == [0, 0]
    await site.rows_are_right(ends)
