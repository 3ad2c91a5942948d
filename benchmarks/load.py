"""The events of benchmarks: tasks of ten events each, with bodies of typical size."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import msgspec
from confluent_kafka import Producer
from msgspec import Raw
from pulp_events.codec import HEADERS, encode, key_of
from pulp_events.events import Accepted, Data, Event, Finished, Outcome, Progress, Resource, Started
from pulp_events.ids import new_id
from pulp_events.kafka import client_settings
from pulp_events.log import KafkaLog
from pulp_events.topics import partition_of

EVENTS_PER_TASK = 10
_BESIDE = 100
"""How many tasks of a partition run at the same time, with interleaved events."""


def lives(tasks: int, events_each: int = EVENTS_PER_TASK) -> Iterator[Event]:
    """The events of this many tasks, partly interleaved: accepted, started, progress, finished."""
    for start in range(0, tasks, _BESIDE):
        beside = [list(_life(new_id(), events_each)) for _ in range(min(_BESIDE, tasks - start))]
        for step in zip(*beside, strict=True):
            yield from step


def _life(task_id: UUID, events: int) -> Iterator[Event]:
    attempt_id, actor = new_id(), "worker:bench"
    repository = Resource(type="repository", id=f"repo-{task_id.int % 500}")
    arguments = Raw(msgspec.json.encode({"repo_id": repository.id, "feed": "http://127.0.0.1/pulp/repos/zoo/"}))
    accepted = Accepted(
        operation="sync",
        arguments=arguments,
        resources=(repository,),
        tags=(f"pulp:repository:{repository.id}", "pulp:action:sync"),
    )
    yield _event(task_id, "user:admin", accepted)
    yield _event(task_id, actor, Started(attempt=1, attempt_id=attempt_id, worker="bench-worker-1", cancellable=True))
    for sequence in range(1, events - 2):
        progress = {"sync": {"state": "IN_PROGRESS", "items_total": 4000, "items_left": 4000 - 100 * sequence}}
        yield _event(
            task_id,
            actor,
            Progress(attempt_id=attempt_id, sequence=sequence, progress=Raw(msgspec.json.encode(progress))),
        )
    result = Raw(b'{"packages":4000}')
    yield _event(task_id, actor, Finished(outcome=Outcome.SUCCESSFUL, attempt_id=attempt_id, result=result))


def _event(task_id: UUID, actor: str, data: Data) -> Event:
    return Event(id=new_id(), task_id=task_id, time=datetime.now(UTC), actor=actor, data=data)


class Encoded(NamedTuple):
    """An event as it goes into the log."""

    task_id: UUID
    key: bytes
    value: bytes


@lru_cache(maxsize=2)
def encoded(tasks: int, events_each: int = EVENTS_PER_TASK) -> tuple[Encoded, ...]:
    """The events of `lives`, once for all rounds."""
    return tuple(each_encoded(tasks, events_each))


def each_encoded(tasks: int, events_each: int = EVENTS_PER_TASK) -> Iterator[Encoded]:
    """The same as a generator, for more events than fit into memory."""
    for event in lives(tasks, events_each):
        yield Encoded(event.task_id, key_of(event.task_id), encode(event))


def produce(kafka: str, topic: str, partitions: int, events: Iterable[Encoded]) -> None:
    """Write the events as fast as Kafka accepts them, each task's to one of the first `partitions` partitions."""
    producer = Producer(
        client_settings(kafka, enable_idempotence=True, acks="all", compression_type="lz4", linger_ms=20)
    )
    for number, event in enumerate(events):
        partition = event.task_id.int % partitions
        while True:
            try:
                producer.produce(topic, event.value, event.key, partition, headers=HEADERS)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("Kafka did not take the events within a minute")


async def accept(
    log: KafkaLog, partitions: int, tasks: int, *resources: Resource, operation: str = "noop"
) -> list[UUID]:
    """Append this many `accepted`; return the tasks' ids."""
    task_ids = [new_id() for _ in range(tasks)]
    data = Accepted(operation=operation, resources=resources)
    for start in range(0, tasks, 1000):
        events = [_event(task_id, "user:admin", data) for task_id in task_ids[start : start + 1000]]
        await asyncio.gather(
            *(log.append(event, partition_of(event.task_id, resources, partitions)) for event in events)
        )
    return task_ids
