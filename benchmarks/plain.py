"""A peer of `live`: a simple consumer that keeps only the state of tasks, with one upsert per event."""

import time
from collections.abc import Mapping

import msgspec
import psycopg
from confluent_kafka import Consumer, TopicPartition
from pulp_events.kafka import client_settings

from benchmarks.load import encoded, produce
from benchmarks.measure import Sizes
from benchmarks.scene import PARTITIONS, Servers, scene

_UPSERT = """
insert into plain (task_id, type, data, at) values (%s, %s, %s, %s)
    on conflict (task_id) do update set type = excluded.type, data = excluded.data, at = excluded.at
"""


async def plain(servers: Servers, sizes: Sizes, *, per_commit: int) -> Mapping[str, float]:
    """Events a second."""
    events = encoded(sizes.of(2000, 100) if per_commit > 1 else sizes.of(400, 50))
    async with scene(servers) as made:
        produce(servers.kafka, made.topics.events, PARTITIONS, events)
        await made.execute("create table plain (task_id uuid primary key, type text, data jsonb, at timestamptz)")
        consumer = Consumer(client_settings(servers.kafka, group_id="plain", enable_auto_commit=False))
        consumer.assign([TopicPartition(made.topics.events, partition, 0) for partition in range(PARTITIONS)])
        try:
            with psycopg.Connection.connect(made.database) as connection:
                began_s = time.perf_counter()
                _follow(consumer, connection, len(events), per_commit)
                return {"": len(events) / (time.perf_counter() - began_s)}
        finally:
            consumer.close()


def _follow(consumer: Consumer, connection: psycopg.Connection, events: int, per_commit: int) -> None:
    done = 0
    while done < events:
        messages = consumer.consume(min(per_commit, events - done), 10)
        if not messages:
            raise RuntimeError(f"Kafka gave {done} of {events} events")
        for message in messages:
            event = msgspec.json.decode(message.value() or b"")
            connection.execute(
                _UPSERT, [event["subject"], event["type"], msgspec.json.encode(event["data"]).decode(), event["time"]]
            )
        connection.commit()
        done += len(messages)
