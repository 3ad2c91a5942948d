"""`fleet-…`: what dispatch costs with many workers, and with many tasks that wait. One worker is one process."""

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from pulp_events.events import Resource

from benchmarks.fleet_site import Fleet, Stretch, fleet, start_workers, using
from benchmarks.measure import (
    LIMIT,
    OURS,
    Measure,
    Side,
    Sizes,
    at_most,
    never_above,
    percentile,
    ratio_at_least,
    ratio_at_most,
)
from benchmarks.scene import LIMIT_S, OPERATIONS, Scene, Servers, scene

_IMPORTS: Final = (
    "import pulp_deploy.start, pulp_deploy.main, pulp_deploy.commands.services, pulp_worker.main;"
    f"from pulp_worker.loading import load_operations; load_operations(['{OPERATIONS}'])"
)
"""All that a worker imports."""
_SETTLING_S: Final = 12
"""After a start: until workers that are not needed rest."""
_RESOURCES: Final = 20
_RESOURCES_OF_WAITING: Final = 50
_DRAIN_S: Final = 120
"""A drain that takes longer is cut off: its rate is reported all the same."""


def idle(workers: int) -> Side:
    """One task at a time with nothing else to do; what idle parts use; connections; memory."""

    async def measured(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
        count = sizes.of(workers, 2)
        async with fleet(servers, count, 1) as site:
            await _one_by_one(site, sizes.of(10, 2))
            await asyncio.sleep(sizes.of(_SETTLING_S, 0))
            nothing = await using(site, asyncio.sleep(sizes.of(20, 2)))
            task_ids: list[UUID] = []
            used = await using(site, _one_by_one(site, sizes.of(100, 5), task_ids))
            waits_ms = await site.waits_ms(task_ids)
            memory = site.mib()
            return {
                **used.without(nothing).ms_a_task(len(task_ids)),
                "wait p50": percentile(waits_ms, 50),
                "wait p99": percentile(waits_ms, 99),
                **nothing.percent(),
                "connections a worker": await site.connections() / count,
                "a worker's MiB": memory["workers"] / count,
                "processor's MiB": memory["processor"],
                "postgres's MiB": memory["postgres"],
            }

    return measured


async def _one_by_one(site: Fleet, tasks: int, task_ids: list[UUID] | None = None) -> None:
    for _ in range(tasks):
        before = await site.log.end_offsets()
        submitted = await site.accept(1)
        if task_ids is not None:
            task_ids += submitted
        after = await site.log.end_offsets()
        # accepted, started and finished
        ends = {partition: before[partition] + 3 for partition in after if after[partition] > before[partition]}
        await site.positions.reach(ends, LIMIT_S)


class Trickle:
    """Ten tasks a second that need no resource."""

    def __init__(self, site: Fleet) -> None:
        self.task_ids: list[UUID] = []
        self._site = site

    async def submit(self, tasks: int) -> None:
        """Submit this many more."""
        for _ in range(tasks):
            self.task_ids += await self._site.accept(1)
            await asyncio.sleep(0.1)

    async def waits_ms(self) -> list[float]:
        """How long they waited for their start."""
        return await self._site.waits_ms(self.task_ids)


def exclusive(workers: int, slots: int) -> Side:
    """Tasks of 50 ms on 20 exclusive resources, and tasks without a resource meanwhile."""

    async def measured(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
        async with fleet(servers, sizes.of(workers, 2), slots) as site:
            await site.accept(10)  # the first tasks of a worker are slow
            await site.until_all_ended()
            alone = Trickle(site)
            await alone.submit(sizes.of(100, 5))
            await site.until_all_ended()
            tasks = sizes.of(3000, 40)
            stretch = Stretch(site)
            for number in range(_RESOURCES):
                await site.accept(tasks // _RESOURCES, _repository(number), operation="resting")
            meanwhile = Trickle(site)
            rested = await _drained(site, tasks, meanwhile)
            used = stretch.used()
            waits_ms, alone_ms = await meanwhile.waits_ms(), percentile(await alone.waits_ms(), 99)
            return {
                "": rested / used.seconds,
                **used.ms_a_task(max(rested, 1)),
                "free alone: wait p99": alone_ms,
                "free meanwhile: wait p99": percentile(waits_ms, 99),
                "free meanwhile: longest": max(waits_ms),
                # the clock of the log counts in milliseconds
                "free meanwhile to alone, of the 99th, times": percentile(waits_ms, 99) / max(1.0, alone_ms),
            }

    return measured


async def _drained(site: Fleet, tasks: int, meanwhile: Trickle) -> int:
    """How many of the remaining tasks have ended when all have, or time is up; others are submitted meanwhile."""
    submitting = asyncio.create_task(meanwhile.submit(10 * LIMIT_S))
    ends_s, rested = time.perf_counter() + _DRAIN_S, 0
    while not meanwhile.task_ids or (rested < tasks and time.perf_counter() < ends_s):
        await asyncio.sleep(0.2)
        rested = await site.finished("resting")
    submitting.cancel()
    await asyncio.wait([submitting])
    return rested


def waiting(waiting_tasks: int) -> Side:
    """The same number of tasks is drained while this many wait on 50 resources: one arrives for each that ends."""

    async def measured(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
        async with fleet(servers, 2, 64) as site:
            kept, drained = sizes.of(waiting_tasks, 100), sizes.of(1000, 20)
            for number in range(_RESOURCES_OF_WAITING):
                await site.accept(kept // _RESOURCES_OF_WAITING, _repository(number))
            await _keep_waiting(site, kept, drained // 4)
            before, stretch = await site.ended(), Stretch(site)
            await _keep_waiting(site, kept, before + drained)
            used = stretch.used()
            return used.ms_a_task(await site.ended() - before)

    return measured


async def _keep_waiting(site: Fleet, kept: int, until_ended: int) -> None:
    """Returns when this many tasks have ended; the number that waits stays constant."""
    while (ended := await site.ended()) < until_ended:
        missing = range(site.accepted, ended + kept)
        await asyncio.gather(*(site.accept(1, _repository(number % _RESOURCES_OF_WAITING)) for number in missing))
        await asyncio.sleep(0.02)


def _repository(number: int) -> Resource:
    return Resource(type="repository", id=f"repo-{number}")


def starting(workers: int) -> Side:
    """All workers are started at once."""

    async def measured(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
        async with scene(servers) as made:
            await _import(made)
            await made.start("processor", "processor")
            return {"": await start_workers(made, sizes.of(workers, 4), 1)}

    return measured


async def _import(made: Scene) -> None:
    """Once, so that nothing is compiled while it is measured."""
    first = await made.run("import", sys.executable, "-c", _IMPORTS)
    await first.process.wait()


def importing(processes: int) -> Side:
    """The same number of Python processes that only import what a worker imports."""

    async def measured(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
        async with scene(servers) as made:
            await _import(made)
            began_s = time.perf_counter()
            for number in range(sizes.of(processes, 4)):
                await made.run(f"import-{number}", sys.executable, "-c", _IMPORTS)
            for each in made.running:
                await each.process.wait()
            return {"": time.perf_counter() - began_s}

    return measured


MEASURES = (
    Measure(
        name="fleet-idle",
        what="128 workers of one slot that are idle, but for one task at a time; against 2",
        unit="",
        goal="",
        goals={
            "cpu a task": ratio_at_most(1.5),
            "wait p50": ratio_at_most(1.5),
            "idle, % of a core": at_most(10),
            "connections a worker": at_most(2),
            "a worker's MiB": at_most(40),
        },
        sides={OURS: idle(128), "2 workers": idle(2)},
    ),
    Measure(
        name="fleet-exclusive",
        what="tasks of 50 ms on 20 exclusive resources, and ten a second without a resource meanwhile:"
        " 128 workers of one slot against 2 of 64",
        unit="tasks/s",
        goal="",
        goals={
            "": ratio_at_least(0.9),
            "free meanwhile to alone, of the 99th, times": at_most(5),
            "free meanwhile: longest": never_above(1000),
        },
        sides={OURS: exclusive(128, 1), "2 workers of 64 slots": exclusive(2, 64)},
    ),
    Measure(
        name="fleet-waiting",
        what="processor time a task while 16,000 wait on 50 resources, against 200 that wait",
        unit="ms",
        goal="",
        goals={"cpu a task": ratio_at_most(1.3)},
        sides={OURS: waiting(16_000), "200 waiting": waiting(200)},
    ),
    Measure(
        name="fleet-start",
        what="128 workers started at once, until all are online; against as many imports",
        unit="s",
        goal="",
        goals={"": ratio_at_most(1.2)},
        sides={OURS: starting(128), LIMIT: importing(128)},
    ),
)
