"""The settings that ensure that a confirmed event is in the log, once and in its place. The mutation test runs it."""

import asyncio
from uuid import uuid4

from pulp_events.codec import decode
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import accepted
from tests.support.kafka_relay import kafka_relay


async def test_an_event_whose_acknowledgement_was_lost_is_in_the_log_once_and_in_its_place(
    backend: Backend, topics: Topics
) -> None:
    story = [accepted(uuid4()) for _ in range(100)]
    async with kafka_relay(backend.kafka) as relay:
        log = KafkaLog(relay.bootstrap, topics.events, PARTITIONS)
        try:
            await log.start()
            relay.lose_next_acknowledgement()
            positions = await asyncio.gather(*(log.append(event, 1) for event in story))
            ends = await log.end_offsets()
        finally:
            await log.close()
        assert relay.lost == 1
    assert ends == {0: 0, 1: len(story), 2: 0, 3: 0}
    with Reader(backend.kafka, topics.events, {1: 0}) as reader:
        found = [record for _, records in reader.until({1: ends[1]}) for record in records]
    assert [decode(record.key, record.value) for record in found] == story
    assert positions == [(1, offset) for offset in range(len(story))]


async def test_an_append_waits_for_all_replicas_in_sync(backend: Backend, topics: Topics) -> None:
    async with kafka_relay(backend.kafka) as relay:
        log = KafkaLog(relay.bootstrap, topics.events, PARTITIONS)
        try:
            await log.append(accepted(), 1)
        finally:
            await log.close()
    assert relay.acks == {-1}  # what fewer have confirmed may be lost with the leader
