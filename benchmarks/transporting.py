"""`transport`: the rate from the broker to a Faust agent, with our batch transport and with Faust's own."""

import asyncio
import sys
from collections.abc import Mapping
from functools import partial

from benchmarks.load import encoded, produce
from benchmarks.measure import OURS, Measure, Sizes
from benchmarks.scene import PARTITIONS, Servers, scene


async def _arriving(servers: Servers, sizes: Sizes, *, transport: str) -> Mapping[str, float]:
    events = encoded(sizes.of(20_000, 1000))
    async with scene(servers) as made:
        produce(servers.kafka, made.topics.events, PARTITIONS, events)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.counting", transport, servers.kafka, made.topics.events),
            str(len(events)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"the counting agent ended with {process.returncode}")
        return {"": float(out)}


MEASURES = (
    Measure(
        name="transport",
        what="broker to agent through Faust, 320-byte bodies",
        unit="events/s",
        goal="30 times Faust's own transport",
        sides={OURS: partial(_arriving, transport="batches"), "Faust's own": partial(_arriving, transport="plain")},
    ),
)
