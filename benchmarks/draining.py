"""`noop`, `noop-submitted` and `exclusive`: how fast workers drain tasks that do nothing."""

import asyncio
import time
from collections.abc import Mapping

import psycopg
from pulp_events.events import Resource
from pulp_events.log import KafkaLog

from benchmarks import peer_queue
from benchmarks.load import accept
from benchmarks.measure import OURS, Measure, Sizes
from benchmarks.scene import LIMIT_S, PARTITIONS, Scene, Servers, following, scene
from benchmarks.serving import client, post, serving

WORKERS = 2
AT_ONCE = 32
CLIENTS = 16
_ENDED = "select count(finished_at) from tasks"
ONE = Resource(type="repository", id="one")


async def noop(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Tasks of no resource."""
    return await _drain(servers, sizes.of(5000, 200))


async def noop_of_peer(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The same with procrastinate: as many workers and concurrent tasks."""
    return {"": await peer_queue.drained(servers, sizes.of(2000, 100), WORKERS, AT_ONCE)}


async def exclusive(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Tasks of one exclusive resource."""
    return await _drain(servers, sizes.of(1000, 40), ONE)


async def submitted(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Tasks of no resource, submitted by 16 clients through the API meanwhile: from the first to the last end."""
    async with serving(servers, workers=WORKERS) as (made, port):
        return await drain_submitted(made, port, sizes.of(5000, 160))


async def drain_submitted(made: Scene, port: int, about: int) -> Mapping[str, float]:
    """Tasks per second, and the processor time per task of our processes without the servers, for about this many
    more tasks."""
    each = about // CLIENTS
    tasks = each * CLIENTS
    [(before,)] = await made.execute(_ENDED)
    used_s = sum(process.cpu_s() for process in made.running)
    began_s = time.perf_counter()
    await asyncio.gather(*(_submit(port, each) for _ in range(CLIENTS)))
    while await made.execute(_ENDED) != [(before + tasks,)]:  # noqa: ASYNC110  # rows
        await asyncio.sleep(0.05)
    took_s = time.perf_counter() - began_s
    used_s = sum(process.cpu_s() for process in made.running) - used_s
    await _seconds(made)
    return {"": tasks / took_s, "cpu a task": 1000 * used_s / tasks}


async def _submit(port: int, times: int) -> None:
    async with client(port) as asking:
        for _ in range(times):
            await post(asking)


async def _drain(servers: Servers, tasks: int, *resources: Resource) -> Mapping[str, float]:
    """Tasks per second, and milliseconds of processor time per task of our processes, without the servers."""
    async with scene(servers) as made:
        log = KafkaLog(servers.kafka, made.topics.events, PARTITIONS)
        await log.start()
        await made.start("processor", "processor")
        await accept(log, PARTITIONS, tasks, *resources)
        async with following(made.database) as positions:
            await positions.reach(await log.end_offsets(), LIMIT_S)
            async with await psycopg.AsyncConnection.connect(made.database) as gate:
                # Nobody assigns until it is committed. A lock of the row would be taken for a hanging dispatcher's.
                await gate.execute("lock table dispatcher in exclusive mode")
                for number in range(WORKERS):
                    await made.start(f"worker-{number}", "worker", PULP_WORKER_CONCURRENCY=str(AT_ONCE))
                before_s = await _used_at_start(made)
                # started and finished; read before anything starts
                ends = {p: end + 2 * count for p, end, count in await _submitted(made)}
            await positions.reach(ends, LIMIT_S)
        await log.close()
        used_s = sum(process.cpu_s() for process in made.running) - before_s
        return {"": tasks / await _seconds(made), "cpu a task": 1000 * used_s / tasks}


async def _used_at_start(made: Scene) -> float:
    """The processor time of the processes at the moment when all workers are up."""
    async with asyncio.timeout(LIMIT_S):
        while await made.execute("select count(*) from workers") != [(WORKERS,)]:  # noqa: ASYNC110  # rows
            await asyncio.sleep(0.02)
    return sum(process.cpu_s() for process in made.running)


async def _submitted(made: Scene) -> list[tuple[int, int, int]]:
    return await made.execute(
        "select p.partition, p.next_offset, count(t.task_id) from positions p left join tasks t using (partition)"
        " group by p.partition, p.next_offset"
    )


async def _seconds(made: Scene) -> float:
    """From the first start to the last end, by the broker's clock."""
    [(seconds, others)] = await made.execute(
        "select extract(epoch from max(finished_at) - min(started_at)), count(*) filter (where state <> 'successful')"
        " from tasks"
    )
    if others:
        raise RuntimeError(f"{others} tasks did not succeed")
    return float(seconds)


MEASURES = (
    Measure(
        name="noop",
        what=f"async no-op tasks, submitted before, {WORKERS} workers with {AT_ONCE} at once each",
        unit="tasks/s",
        goal="1,500/s on an idle machine of two cores, where procrastinate did 706",
        sides={OURS: noop, "procrastinate": noop_of_peer},
    ),
    Measure(
        name="noop-submitted",
        what=f"the same, submitted through the API by {CLIENTS} clients meanwhile",
        unit="tasks/s",
        goal="600/s",
        sides={OURS: submitted},
    ),
    Measure(
        name="exclusive",
        what="as noop, all on one exclusive resource",
        unit="tasks/s",
        goal="100/s",
        sides={OURS: exclusive},
    ),
)
