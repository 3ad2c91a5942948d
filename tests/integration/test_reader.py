"""Reading in bulk: all records once, in order, in batches no larger than requested, each record as it was written."""

import asyncio

from confluent_kafka import Producer
from pulp_events.kafka import client_settings
from pulp_events.reader import Headers, Reader, Record
from pulp_events.topics import Topics

from tests.support.backends import Backend

RECORDS, MOST = 1700, 1200
HEADERS: list[Headers] = [(("a", b"1"),), (("a", b"1"),), (("a", b"2"), ("b", None)), ()]


async def test_batches_are_no_larger_than_asked_for_and_nothing_is_mixed_up(backend: Backend, topics: Topics) -> None:
    batches = await asyncio.to_thread(_written_and_read, backend.kafka, topics.events)
    records = [record for batch in batches for record in batch]
    assert max(map(len, batches)) <= MOST
    assert [record.offset for record in records] == list(range(RECORDS))
    assert [record.value for record in records] == [b"%d" % number for number in range(RECORDS)]
    assert [record.headers for record in records] == [HEADERS[number % len(HEADERS)] for number in range(RECORDS)]
    assert records[0].headers is records[1].headers


def _written_and_read(kafka: str, topic: str) -> list[list[Record]]:
    producer = Producer(client_settings(kafka, acks="all"))
    for number in range(RECORDS):
        producer.produce(topic, b"%d" % number, b"key", 1, headers=list(HEADERS[number % len(HEADERS)]))
    assert producer.flush(30) == 0
    with Reader(kafka, topic, {1: 0}) as reader:
        return [records for _, records in reader.until({1: RECORDS}, most=MOST)]
