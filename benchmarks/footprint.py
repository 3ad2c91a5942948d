"""`cli` and `memory`: the cost of a command, and of running processes."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.load import EVENTS_PER_TASK, each_encoded, produce
from benchmarks.measure import OURS, Measure, Sizes, percentile
from benchmarks.projecting import projected
from benchmarks.scene import PARTITIONS, Process, Scene, Servers, following
from benchmarks.serving import PASSWORD, USER, serving


async def cli(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Milliseconds of a process `pulp-admin tasks list`, next to a Python that does nothing."""
    async with serving(servers) as (made, port):
        environment = {
            **servers.environment(),
            "HOME": str(made.folder),
            "PULP_URL": f"http://127.0.0.1:{port}",
            "PULP_USERNAME": USER,
            "PULP_PASSWORD": PASSWORD,
        }
        environment.pop("PULP_ADMIN_CONFIG", None)
        program = str(Path(sys.executable).with_name("pulp-admin"))
        times_ms = [await _run(environment, program, "tasks", "list") for _ in range(sizes.of(20, 3) + 1)]
        return {"p50": percentile(times_ms[1:], 50)}  # without the first one, which compiles


async def bare_python(_: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The same of a Python that does nothing."""
    times_ms = [await _run(dict(os.environ), sys.executable, "-c", "") for _ in range(sizes.of(20, 3) + 1)]
    return {"p50": percentile(times_ms[1:], 50)}


async def _run(environment: Mapping[str, str], *command: str) -> float:
    began_s = time.perf_counter()
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=quiet, stderr=quiet)
    code = await process.wait()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return (time.perf_counter() - began_s) * 1000


async def memory(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Proportional set size of all our processes, in MiB: API, processor and two workers with no task.

    Idle; after `live`; after many more events; and the most while those are rebuilt, the rebuild's process included.
    """
    async with serving(servers, workers=2) as (made, _port):
        await _most_mib(made, await made.start("rebuild", "rebuild"))  # the first one compiles: some MiB more
    async with serving(servers, workers=2) as (made, _port), following(made.database) as positions:
        found = {"idle": _all_mib(made)}
        before = 0
        for name, tasks in (("after live", sizes.of(20_000, 200)), ("after 5 million events", sizes.of(480_000, 400))):
            events = tasks * EVENTS_PER_TASK
            produce(servers.kafka, made.topics.events, PARTITIONS, each_encoded(tasks))
            await projected(positions, before + events)
            before += events
            found[name] = _all_mib(made)
        found["during their rebuild"] = await _most_mib(made, await made.start("rebuild", "rebuild"))
        return found


async def _most_mib(made: Scene, last: Process) -> float:
    """The peak memory of all processes until the last one has ended."""
    ended = asyncio.create_task(last.process.wait())
    most = 0.0
    while not ended.done():
        most = max(most, _all_mib(made))
        await asyncio.wait([ended], timeout=0.2)
    if await ended:
        raise RuntimeError(f"{last.name} ended with {last.process.returncode}")
    return most


def _all_mib(made: Scene) -> float:
    return sum(pss_mib(running.process.pid) for running in made.running if running.process.returncode is None)


def pss_mib(pid: int) -> float:
    """The memory of a process and its children."""
    try:
        process = psutil.Process(pid)
        own = float(process.memory_full_info().pss) / 2**20
        return own + sum(pss_mib(child.pid) for child in process.children())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0.0  # it has ended meanwhile


MEASURES = (
    Measure(
        name="cli",
        what="the process pulp-admin tasks list, against a Python that does nothing",
        unit="ms",
        goal="250 ms",
        sides={OURS: cli, "python -c ''": bare_python},
    ),
    Measure(
        name="memory",
        what="proportional set size of API, processor and two workers with no task; and of a rebuild",
        unit="MiB",
        goal="300 MiB, whatever the number of events",
        sides={OURS: memory},
        rounds=1,
    ),
)
