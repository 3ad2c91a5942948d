"""A processor begins to read at the positions in Postgres, whatever the consumer group's offsets say."""

import asyncio

import pytest
from confluent_kafka import Consumer, TopicPartition
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.consuming.app import group_of
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.processor_app import caught_up
from tests.support.projection import append_all, project, rows, settings_of, stories


@pytest.fixture
def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    return settings_of(backend.kafka, database, topics)


def commit(settings: Settings, offset: int) -> None:
    """Set the group's offsets, as a tool or an older release may have done."""
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": group_of(settings)})
    topic = settings.topics.events
    consumer.commit(
        offsets=[TopicPartition(topic, partition, offset) for partition in range(PARTITIONS)], asynchronous=False
    )
    consumer.close()


@pytest.mark.parametrize("group_offset", [40, 1, 0, None], ids=["ahead", "behind", "begin", "none"])
async def test_it_reads_from_the_positions_in_postgres(settings: Settings, group_offset: int | None) -> None:
    log = KafkaLog(settings.kafka, settings.topics.events, PARTITIONS)
    await log.start()
    await append_all(log, stories(1, PARTITIONS, tasks=5, length=30))
    await project(settings, await log.end_offsets())  # by somebody earlier
    await append_all(log, stories(2, PARTITIONS, tasks=5, length=30))
    ends = await log.end_offsets()
    await log.close()
    if group_offset is not None:
        await asyncio.to_thread(commit, settings, group_offset)
    assert await caught_up(settings, ends) == dict.fromkeys(range(PARTITIONS), 0)
    written = [(row["partition"], row["record_offset"]) for row in await rows(settings.postgres, "task_events")]
    assert sorted(written) == [(partition, offset) for partition, end in ends.items() for offset in range(end)]
