"""A log in Kafka with events of several months, projected and archived."""

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from confluent_kafka import Producer
from pulp_events import admin
from pulp_events.codec import encode, key_of
from pulp_events.events import Event
from pulp_events.topic_states import read_topic
from pulp_events.topics import Topics
from pulp_processor.settings import Settings
from pulp_runtime.startup import prepare

from tests.conftest import PARTITIONS
from tests.integration.test_preconditions import change_topic
from tests.support.archives import archive_part
from tests.support.backends import Backend
from tests.support.projection import project, settings_of


async def log_with_times(
    backend: Backend, database: str, topics: Topics, archive: Path, told: Iterable[tuple[Event, int, datetime]]
) -> Settings:
    """Write events, each into a partition and at a time of its own; the settings have the archive."""
    await asyncio.to_thread(take_times, backend, topics.events, "CreateTime")  # the only way to have old events
    producer = Producer({"bootstrap.servers": backend.kafka})
    for each, partition, came in told:
        producer.produce(
            topics.events,
            key=key_of(each.task_id),
            value=encode(each),
            partition=partition,
            timestamp=round(came.timestamp() * 1000),
            headers={"content-type": "application/cloudevents+json"},
        )
    assert producer.flush(30) == 0
    await asyncio.to_thread(take_times, backend, topics.events, "LogAppendTime")
    settings = settings_of(backend.kafka, database, topics, archive=str(archive), batch_records=50)
    await prepare(settings)
    ends = await asyncio.to_thread(admin.end_offsets, backend.kafka, topics.events, PARTITIONS)
    await project(settings, ends)
    for partition, end in ends.items():
        await asyncio.to_thread(archive_part, backend.kafka, topics.events, str(archive), partition, end)
    return settings


def take_times(backend: Backend, topic: str, kind: str) -> None:
    """Returns when the broker says that it takes the times of clients, or its own, for a topic."""
    change_topic(backend, topic, message_timestamp_type=kind)
    connection = admin.connect(backend.kafka)
    ends_s = time.monotonic() + 20
    while (read_topic(connection, topic).settings or {}).get("message.timestamp.type") != kind:
        assert time.monotonic() < ends_s, kind
