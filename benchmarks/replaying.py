"""`replay`: a large history is rebuilt from Kafka and from its archive while tasks go on; switched to, and back."""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pulp_archive.archive import Archive
from pulp_events import admin
from pulp_events.kafka import client_settings
from pulp_projections.reading.positions import Positions

from benchmarks.load import EVENTS_PER_TASK, each_encoded, produce
from benchmarks.measure import OURS, Measure, Sizes
from benchmarks.projecting import projected
from benchmarks.scene import LIMIT_S, PARTITIONS, Scene, Servers, following, scene

_TASKS = 500_000
_QUICK_TASKS = 500
_TASKS_A_SECOND = 20


async def replay(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Seconds of each step, and how long the events that arrive meanwhile take from Kafka to readers."""
    tasks = sizes.of(_TASKS, _QUICK_TASKS)
    took_s: dict[str, float] = {}
    async with scene(servers) as made, following(made.database) as positions:
        archive = str(made.folder / "archive")

        async def step(name: str, *command: str, **env: str) -> None:
            began_s = time.perf_counter()
            await _run(made, name, *command, **env)
            took_s[name] = time.perf_counter() - began_s
            print(f"{name}: {took_s[name]:.1f} s", file=sys.stderr)  # the whole takes a quarter of an hour

        await asyncio.to_thread(produce, servers.kafka, made.topics.events, PARTITIONS, each_encoded(tasks))
        await made.start("processor", "processor", PULP_ARCHIVE=archive)
        began_s = time.perf_counter()
        await projected(positions, tasks * EVENTS_PER_TASK)
        took_s["live"] = time.perf_counter() - began_s
        async with _load(made, positions) as waits_ms:
            await step("rebuild from Kafka", "rebuild")
            await step("verify", "rebuild", "verify")
            await step("activate", "rebuild", "activate")
            await step("roll back", "rebuild", "rollback")
            await _run(made, "prune", "rebuild", "prune", "--yes")
            await step("archive", "archive", "write", "--to", archive)
            took_s["archive MiB"] = sum(file.stat().st_size for file in (made.folder / "archive").rglob("*")) / 2**20
            ends = await asyncio.to_thread(_archived, made)
            await projected(positions, sum(ends.values()))  # a processor does not read the archive
            await asyncio.to_thread(_cut, made, ends)
            await step("rebuild from the archive", "rebuild", PULP_ARCHIVE=archive)
            await step("verify it", "rebuild", "verify", PULP_ARCHIVE=archive)
            await step("activate it", "rebuild", "activate", PULP_ARCHIVE=archive)
            await step("roll back from it", "rebuild", "rollback", PULP_ARCHIVE=archive)
        quantiles = statistics.quantiles(waits_ms, n=100, method="inclusive")
        found = {"p50": quantiles[49], "p99": quantiles[98], "longest": max(waits_ms)}
        return {**took_s, **{f"readable meanwhile, {name}": ms for name, ms in found.items()}}


async def _run(made: Scene, name: str, *command: str, **env: str) -> None:
    """Run a command of `pulp-tasks` to its end. Raises `RuntimeError` with its output if it fails."""
    done = await made.start(name.replace(" ", "-"), *command, **env)
    if await done.process.wait():
        raise RuntimeError(f"{name} failed: {(made.folder / f'{done.name}.log').read_text()[-2000:]}")


def _archived(made: Scene) -> dict[int, int]:
    """Where the archive of each partition ends."""
    archive = Archive.open(str(made.folder / "archive"))
    return {partition: archive.end(partition) for partition in archive.partitions}


def _cut(made: Scene, ends: Mapping[int, int]) -> None:
    """Make Kafka delete everything before these offsets, as its retention does."""
    client = AdminClient(client_settings(made.servers.kafka))  # its futures fail when it is closed
    places = [TopicPartition(made.topics.events, partition, end) for partition, end in ends.items()]
    for future in client.delete_records(places).values():
        future.result(LIMIT_S)


@asynccontextmanager
async def _load(made: Scene, positions: Positions) -> AsyncIterator[list[float]]:
    """Tasks come, run and end until the block ends; yields how many ms each second's took to be readable."""
    waits_ms: list[float] = []

    async def go_on() -> None:
        while True:
            began_s = time.perf_counter()
            await asyncio.to_thread(
                produce, made.servers.kafka, made.topics.events, PARTITIONS, each_encoded(_TASKS_A_SECOND)
            )
            ends = await asyncio.to_thread(admin.end_offsets, made.servers.kafka, made.topics.events, PARTITIONS)
            await projected(positions, sum(ends.values()))
            waits_ms.append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(max(0.0, began_s + 1 - time.perf_counter()))

    async with asyncio.TaskGroup() as group:
        load = group.create_task(go_on())
        yield waits_ms
        load.cancel()


MEASURES = (
    Measure(
        name="replay",
        what="5 million events are rebuilt from Kafka and from the archive, while tasks go on; switched to, and back",
        unit="s",
        goal="",
        sides={OURS: replay},
        rounds=1,
    ),
)
