"""Cases in which a processor refuses to start, or waits in vain: the exit code and the message."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from psycopg.conninfo import make_conninfo
from pulp_deploy.local.ports import free_ports
from pulp_events.admin import create_topics
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.processor_process import Installation, ProcessorProcess, installation
from tests.support.projection import execute
from tests.unit.test_log_lines import parsed


@pytest.fixture
def site(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> Iterator[Installation]:
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


async def refused(processor: ProcessorProcess, code: int) -> str:
    """Its last words."""
    assert await processor.ended() == code, processor.output()
    last = parsed(processor.output().splitlines()[-1])
    assert (last["level"], last["exit_code"]) == ("CRITICAL", str(code))
    return last["msg"]


async def test_an_instance_id_in_use(site: Installation) -> None:
    first = await site.start("a").up()
    words = await refused(site.start("a"), 73)
    assert f":{first.process.pid} from 127.0.0.1" in words
    assert "instance a is in use by" in words
    assert "PULP_PROCESSOR_INSTANCE" in words
    assert first.is_running()
    first.kill()
    await site.start("a").up()  # a dead process holds nothing


async def test_a_topic_with_another_partition_count(site: Installation) -> None:
    await (await site.start().up()).stopped()
    client = AdminClient({"bootstrap.servers": site.kafka})
    client.create_partitions([NewPartitions(site.topics.events, PARTITIONS + 1)])[site.topics.events].result(10)
    words = await refused(site.start(), 78)
    assert f"{site.topics.events} has {PARTITIONS + 1} partitions, the read model was made for {PARTITIONS}" in words


async def test_a_topic_made_anew(site: Installation) -> None:
    await (await site.start().up()).stopped()
    client = AdminClient({"bootstrap.servers": site.kafka})
    client.delete_topics([site.topics.events])[site.topics.events].result(10)
    await made_again(site)
    words = await refused(site.start(), 78)
    assert f"{site.topics.events} (id " in words
    assert "fresh database" in words


async def test_a_topic_made_anew_under_a_running_processor(site: Installation) -> None:
    processor = site.start()
    await site.reached(await site.happens(length=10))
    client = AdminClient({"bootstrap.servers": site.kafka})
    client.delete_topics([site.topics.events])[site.topics.events].result(10)
    await made_again(site)
    await site.happens(length=100)  # so that the positions are within the new one
    assert f"{site.topics.events} " in await refused(processor, 78)


async def made_again(site: Installation) -> None:
    """Wait until the topic can be created: its deletion goes on after it is confirmed."""
    async with asyncio.timeout(30):
        while site.topics.events not in await asyncio.to_thread(_create, site):  # noqa: ASYNC110  # Kafka tells nobody
            await asyncio.sleep(0.1)


def _create(site: Installation) -> list[str]:
    return create_topics(site.kafka, site.topics, partitions=PARTITIONS, replication=1)


async def test_events_that_retention_has_cut(site: Installation) -> None:
    await site.happens(length=10)
    client = AdminClient({"bootstrap.servers": site.kafka})
    place = TopicPartition(site.topics.events, 2, 7)
    client.delete_records([place])[place].result(10)
    words = await refused(site.start(), 78)
    assert f"{site.topics.events}/2 begins at offset 7, but 0 comes next" in words
    assert await site.positions() == dict.fromkeys(range(PARTITIONS), 0)
    assert await execute(site.database, "select 1 from task_events") == []


async def test_a_log_that_ends_before_the_position(site: Installation) -> None:
    ends = await site.happens(length=10)
    await execute(site.database, "update generation_1.positions set next_offset = 1000000 where partition = 1")
    words = await refused(site.start(), 78)
    assert f"{site.topics.events}/1 ends at offset {ends[1]}, but 1000000 comes next" in words


async def test_kafka_away_at_the_start(site: Installation) -> None:
    away = f"127.0.0.1:{free_ports(1)[0]}"
    processor = site.start(PULP_KAFKA=away, PULP_STARTUP_TIMEOUT_S="5")  # longer than one attempt
    words = await refused(processor, 69)
    assert f"Kafka at {away} with topic {site.topics.events} did not answer in time" in words
    assert f"waiting for Kafka at {away}" in processor.output()


async def test_postgres_away_at_the_start(site: Installation) -> None:
    port = free_ports(1)[0]
    away = f"host=127.0.0.1 port={port} user=pulp dbname=pulp password=secret-word"
    processor = site.start(PULP_POSTGRES=away, PULP_STARTUP_TIMEOUT_S="2")
    words = await refused(processor, 69)
    assert f"Postgres at 127.0.0.1:{port}/pulp did not answer in time" in words
    assert f"waiting for Postgres at 127.0.0.1:{port}/pulp" in processor.output()
    assert "secret-word" not in processor.output()


async def test_postgres_that_can_only_be_read_at_the_start(site: Installation) -> None:
    reading = make_conninfo(site.database, options="-c default_transaction_read_only=on")
    words = await refused(site.start(PULP_POSTGRES=reading, PULP_STARTUP_TIMEOUT_S="2"), 69)
    assert "did not answer in time: cannot execute" in words
    assert "in a read-only transaction" in words


async def test_a_setting_that_is_missing(site: Installation) -> None:
    assert "PULP_KAFKA" in await refused(site.start(PULP_KAFKA=""), 78)
