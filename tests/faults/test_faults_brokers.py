"""The log on three brokers, of which one is lost: leaders move, and work continues."""

import asyncio

import pytest
from pulp_deploy.backend import BackendOptions
from pulp_deploy.local.accounts import ROOT
from pulp_deploy.stack import Stack, StackOptions
from pulp_events.admin import create_topics
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.support.events import accepted

PARTITIONS = 4
PATIENCE_S = 60
"""The other brokers notice a killed one after six to eight seconds, or later on a busy machine."""


@pytest.fixture
def three_brokers() -> Stack:
    backend = BackendOptions(brokers=3, kafka_port=0, postgres_port=0, kafka_login=False, user=ROOT)
    return Stack(StackOptions.throwaway(backend=backend))


async def test_ends_are_told_and_events_are_taken_though_a_leader_has_gone(three_brokers: Stack) -> None:
    await asyncio.to_thread(three_brokers.up_backend)
    try:
        topics = Topics.named()
        await asyncio.to_thread(
            create_topics, three_brokers.backend.kafka, topics, partitions=PARTITIONS, replication=3
        )
        log = KafkaLog(three_brokers.backend.kafka, topics.events, PARTITIONS, timeout_s=PATIENCE_S)
        await log.start()
        assert await log.end_offsets() == dict.fromkeys(range(PARTITIONS), 0)
        await asyncio.to_thread(three_brokers.kill, "kafka-1")  # with four partitions it leads at least one
        assert await log.end_offsets() == dict.fromkeys(range(PARTITIONS), 0)
        for partition in range(PARTITIONS):
            assert await log.append(accepted(), partition) == (partition, 0)
        assert await log.end_offsets() == dict.fromkeys(range(PARTITIONS), 1)
        await log.close()
    finally:
        await asyncio.to_thread(three_brokers.down)
