"""`fleet-takeover`: how long nothing is dispatched when the processor that dispatches ends."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from pulp_events.log import KafkaLog
from pulp_projections.reading.positions import Positions

from benchmarks.load import accept
from benchmarks.measure import OURS, Measure, Sizes, never_above
from benchmarks.recovering import until_shared
from benchmarks.scene import LIMIT_S, PARTITIONS, Process, Scene, Servers, following, scene

_EVENTS: Final = 3
"""The events of a task that does nothing: accepted, started and finished."""


async def taking_over(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Seconds until tasks that are submitted then, to every partition, have ended in the read model."""
    del sizes  # there is nothing to make smaller
    async with scene(servers) as made:
        log = KafkaLog(servers.kafka, made.topics.events, PARTITIONS)
        await log.start()
        try:
            for number in range(2):
                await made.start(f"processor-{number}", "processor")
            await made.start("worker", "worker")
            await until_shared(made)
            async with following(made.database) as positions:
                await _run(log, positions)
                after_kill_s = await _after(made, log, positions, "kill")
                await made.start("processor-2", "processor")
                await until_shared(made)
                await _run(log, positions)
                return {"after kill -9": after_kill_s, "after a stop": await _after(made, log, positions, "terminate")}
        finally:
            await log.close()


async def _after(made: Scene, log: KafkaLog, positions: Positions, end: str) -> float:
    elected = await _elected(made)
    began_s = time.perf_counter()
    getattr(elected.process, end)()
    await _run(log, positions)
    took_s = time.perf_counter() - began_s
    await elected.process.wait()
    made.running.remove(elected)
    return took_s


async def _elected(made: Scene) -> Process:
    """The processor whose number is in the name of the dispatcher that was elected last."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            [(holder,)] = await made.execute("select holder from dispatcher")
            found = [each for each in made.running if f":{each.process.pid} " in holder]
            if found:
                return found[0]
            await asyncio.sleep(0.1)


async def _run(log: KafkaLog, positions: Positions) -> None:
    """Submit some tasks, and return when they have ended."""
    before = await log.end_offsets()
    await accept(log, PARTITIONS, 8 * PARTITIONS)
    after = await log.end_offsets()
    ends = {partition: before[partition] + _EVENTS * (after[partition] - before[partition]) for partition in after}
    await positions.reach(ends, LIMIT_S)


MEASURES = (
    Measure(
        name="fleet-takeover",
        what="from the end of the processor that dispatches until tasks submitted then have ended; two processors",
        unit="s",
        goal="",
        goals={"after kill -9": never_above(10), "after a stop": never_above(2)},
        sides={OURS: taking_over},
    ),
)
