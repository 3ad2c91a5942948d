"""`recovery`: how long the state is wrong after a process was killed."""

import asyncio
import time
from collections.abc import Mapping
from uuid import UUID

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pulp_events.events import Resource
from pulp_events.kafka import client_settings
from pulp_events.log import KafkaLog

from benchmarks.load import accept
from benchmarks.measure import OURS, Measure, Sizes
from benchmarks.scene import LIMIT_S, PARTITIONS, Process, Scene, Servers, following, scene

ONE = Resource(type="repository", id="one")
_POLL_S = 0.02


async def recovery(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Seconds from the kill of a worker, and of a processor, until the other one has taken over."""
    del sizes  # there is nothing to make smaller
    async with scene(servers) as made:
        log = KafkaLog(servers.kafka, made.topics.events, PARTITIONS)
        await log.start()
        processors = [await made.start(f"processor-{number}", "processor") for number in range(2)]
        workers = [await made.start(f"worker-{number}", "worker") for number in range(2)]
        await _until(made, "select count(*) = 2 from workers")
        await until_shared(made)
        found = {"of a worker": await _worker(made, log, workers)}
        found["of a processor"] = await _processor(made, log, processors[0])
        await log.close()
        return found


async def _worker(made: Scene, log: KafkaLog, workers: list[Process]) -> float:
    """Until its task has failed, and the task waiting for the same resource has run."""
    [lost] = await accept(log, PARTITIONS, 1, ONE, operation="heeding")
    await _until(made, "select count(*) = 1 from tasks where task_id = %s and sequence > 0", lost)
    [behind] = await accept(log, PARTITIONS, 1, ONE)
    [(name,)] = await made.execute("select worker from tasks where task_id = %s", lost)
    began_s = time.monotonic()
    next(worker for worker in workers if worker.name == name).process.kill()
    await _until(made, "select count(*) = 1 from tasks where task_id = %s and state = 'failed'", lost)
    await _until(made, "select count(*) = 1 from tasks where task_id = %s and state = 'successful'", behind)
    return time.monotonic() - began_s


async def _processor(made: Scene, log: KafkaLog, processor: Process) -> float:
    """Until later events in every partition are projected."""
    async with following(made.database) as positions:
        began_s = time.monotonic()
        processor.process.kill()
        await accept(log, PARTITIONS, 8 * PARTITIONS)
        await positions.reach(await log.end_offsets(), LIMIT_S)
        return time.monotonic() - began_s


async def _until(made: Scene, question: str, *parameters: UUID) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        await psycopg.AsyncConnection.connect(made.database, autocommit=True) as connection,
    ):
        while True:
            cursor = await connection.execute(question.encode(), parameters or None)
            if await cursor.fetchone() == (True,):
                return
            await asyncio.sleep(_POLL_S)


async def until_shared(made: Scene) -> None:
    """Returns when two processors have partitions."""
    async with asyncio.timeout(LIMIT_S):
        while not await asyncio.to_thread(_is_shared, made):  # noqa: ASYNC110  # it cannot be waited for
            await asyncio.sleep(0.2)


def _is_shared(made: Scene) -> bool:
    group = f"{made.topics.events}.processor"
    admin = AdminClient(client_settings(made.servers.kafka))
    try:
        described = admin.describe_consumer_groups([group])[group].result(LIMIT_S)
    except KafkaException:  # the group's coordinator is not known yet
        return False
    return sum(bool(member.assignment.topic_partitions) for member in described.members) == 2


MEASURES = (
    Measure(
        name="recovery",
        what="kill -9 of one of two workers, of one of two processors, until the state is right again",
        unit="s",
        goal="10 s",
        sides={OURS: recovery},
    ),
)
