"""`detail`, `history` and `visible`: how long a client waits for one task."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from confluent_kafka import Producer
from pulp_events.codec import HEADERS
from pulp_events.kafka import client_settings

from benchmarks.filling import fill, fill_history
from benchmarks.listing import TASKS, ask
from benchmarks.load import encoded
from benchmarks.measure import OURS, Measure, Sizes, percentile
from benchmarks.scene import LIMIT_S, PARTITIONS, Scene, Servers
from benchmarks.serving import client, post, serving

_TASKS: Final = "/pulp/api/v3/tasks/"
_EVENTS_A_SECOND: Final = 1000
_STEP_S: Final = 0.02


async def detail(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """GET of one task of many, in milliseconds."""
    async with serving(servers) as (made, port):
        await fill(made.database, sizes.of(TASKS, 5000))
        task_id = await _some_task(made)
        return {"p50": percentile(await ask(client(port), f"{_TASKS}{task_id}/", sizes.of(200, 10)), 50)}


async def history(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """GET of the first page of a long history, in milliseconds."""
    async with serving(servers) as (made, port):
        await fill(made.database, 5000)
        task_id = await fill_history(made.database, sizes.of(10_000, 1000))
        times_ms = await ask(client(port), f"{_TASKS}{task_id}/history/", sizes.of(200, 10))
        return {"p50": percentile(times_ms, 50)}


async def visible(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Milliseconds from the 202 of a submission to the answer that shows the task, under load."""
    async with serving(servers) as (made, port), _coming_in(made), client(port) as asking:
        times_ms = []
        for _ in range(sizes.of(500, 30) + 10):
            task_id = await post(asking)
            began_s = time.perf_counter()
            async with asyncio.timeout(LIMIT_S):
                # The API waits a second for the projection, and then answers 404.
                while (await asking.ask("GET", f"{_TASKS}{task_id}/"))[0] != 200:
                    pass
            times_ms.append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(_STEP_S)  # the load goes on meanwhile
        return {"p50": percentile(times_ms[10:], 50), "p99": percentile(times_ms[10:], 99)}


@asynccontextmanager
async def _coming_in(made: Scene) -> AsyncIterator[None]:
    """Append this many events per second, to all partitions."""
    arriving = asyncio.create_task(_arrive(made))
    try:
        yield
        if arriving.done():
            arriving.result()
    finally:
        arriving.cancel()
        await asyncio.gather(arriving, return_exceptions=True)


async def _arrive(made: Scene) -> None:
    producer = Producer(client_settings(made.servers.kafka, enable_idempotence=True, acks="all", linger_ms=0))
    events = itertools.cycle(encoded(2000))  # repeats have no effect, but are written all the same
    began_s, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began_s) * _EVENTS_A_SECOND)
        for event in itertools.islice(events, due - sent):
            partition = event.task_id.int % PARTITIONS
            producer.produce(made.topics.events, event.value, event.key, partition, headers=HEADERS)
        sent = due
        producer.poll(0)
        await asyncio.sleep(_STEP_S)


async def _some_task(made: Scene) -> UUID:
    [(task_id,)] = await made.execute("select task_id from tasks order by task_id limit 1")
    return UUID(str(task_id))


MEASURES = (
    Measure(name="detail", what="one task of many", unit="ms", goal="p50 5 ms", sides={OURS: detail}),
    Measure(
        name="history",
        what="the first page of the history of a task with 10,000 progress events",
        unit="ms",
        goal="p50 5 ms",
        sides={OURS: history},
    ),
    Measure(
        name="visible",
        what=f"from a submission's 202 to the task in a GET, while {_EVENTS_A_SECOND:,} events/s come in",
        unit="ms",
        goal="p50 15 ms, p99 60 ms",
        sides={OURS: visible},
    ),
)
