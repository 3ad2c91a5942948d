"""The peer of `latency`: the minimal round trips of a task's three events from the log to a reader."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from confluent_kafka import Consumer, TopicPartition
from psycopg import AsyncConnection
from pulp_events.events import Accepted, Event
from pulp_events.ids import new_id
from pulp_events.kafka import client_settings
from pulp_events.log import KafkaLog

from benchmarks.scene import PARTITIONS, Scene

_EVENTS = 3
"""`accepted`, `started`, `finished`: each follows the arrival of the one before."""


async def life_ms(made: Scene, times: int) -> list[float]:
    """The duration of three trips: append (acks=all), read, insert and notify in one commit, receive the
    notification. All in one process, without HTTP, fold, claim or operation.
    """
    await made.execute("create table trips (event bytea not null)")
    log = KafkaLog(made.servers.kafka, made.topics.events, PARTITIONS)
    await log.start()
    try:
        async with (
            await AsyncConnection.connect(made.database, autocommit=True) as writing,
            await AsyncConnection.connect(made.database, autocommit=True) as listening,
            _reading(made) as read,
        ):
            await writing.execute("set synchronous_commit = off")  # as on the projector's connections
            await listening.execute("listen trips")
            took_ms = []
            for _ in range(times):
                began_s = time.perf_counter()
                for _ in range(_EVENTS):
                    await _trip(log, read, writing, listening)
                took_ms.append((time.perf_counter() - began_s) * 1000)
            return took_ms
    finally:
        await log.close()


async def _trip(
    log: KafkaLog, read: "asyncio.Queue[bytes]", writing: AsyncConnection, listening: AsyncConnection
) -> None:
    data = Accepted(operation="noop", resources=())
    event = Event(id=new_id(), task_id=new_id(), time=datetime.now(UTC), actor="bench", data=data)
    appending = asyncio.create_task(log.append(event, 0))
    await writing.execute(
        "with made as (insert into trips values (%s)) select pg_notify('trips', '')", [await read.get()]
    )
    async for _ in listening.notifies(stop_after=1):
        pass
    await appending


@asynccontextmanager
async def _reading(made: Scene) -> AsyncIterator["asyncio.Queue[bytes]"]:
    """The records of the topic's first partition, read by a thread."""
    loop = asyncio.get_running_loop()
    found: asyncio.Queue[bytes] = asyncio.Queue()
    stopping = threading.Event()
    thread = threading.Thread(
        target=_read, args=(made, stopping, lambda value: loop.call_soon_threadsafe(found.put_nowait, value))
    )
    thread.start()
    try:
        yield found
    finally:
        stopping.set()
        await asyncio.to_thread(thread.join)


def _read(made: Scene, stopping: threading.Event, tell: Callable[[bytes], object]) -> None:
    consumer = Consumer(client_settings(made.servers.kafka, group_id="trips", enable_auto_commit=False))
    consumer.assign([TopicPartition(made.topics.events, 0, 0)])
    while not stopping.is_set():
        message = consumer.poll(0.2)
        if message is not None and (value := message.value()) is not None:
            tell(value)
    consumer.close()
