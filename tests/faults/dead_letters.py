"""Checks the dead-letter topic at the end: it has every undecodable record, with its coordinates, at least once."""

import asyncio
import time

from confluent_kafka import Consumer, TopicPartition

from tests.faults.arena import Arena
from tests.faults.cluster import TOPIC
from tests.faults.ledger import Breach
from tests.faults.reference import Reference

DEAD_LETTERS = "pulp.tasks.dead-letters"
_LIMIT_S = 60.0


async def judge_dead_letters(arena: Arena, reference: Reference) -> list[Breach]:
    """The breaches: dead letters that are missing, or that match no record."""
    expected = {f"{TOPIC}/{partition}/{offset}" for partition, offset in reference.published()}
    ends = time.monotonic() + _LIMIT_S
    while True:
        sent = await asyncio.to_thread(_keys, arena.kafka)
        if expected <= sent or time.monotonic() > ends:
            break
        await asyncio.sleep(1)
    return [
        Breach("I1", key, "the record is no event, and is not in the dead-letter topic") for key in expected - sent
    ] + [Breach("I2", key, "a dead letter of a record that is none") for key in sent - expected]


def _keys(kafka: str) -> set[str]:
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": "pulp-tasks-checker", "enable.auto.commit": False, "log_level": 0}
    )
    try:
        partitions = consumer.list_topics(DEAD_LETTERS, timeout=10).topics[DEAD_LETTERS].partitions
        places = [TopicPartition(DEAD_LETTERS, number, 0) for number in partitions]
        ends = {place.partition: consumer.get_watermark_offsets(place, timeout=10)[1] for place in places}
        consumer.assign(places)
        left, keys = sum(ends.values()), set()
        while left > 0:
            for message in consumer.consume(1000, 5.0):
                if message.error() is None:
                    left -= 1
                    keys.add((message.key() or b"").decode())
        return keys
    finally:
        consumer.close()
