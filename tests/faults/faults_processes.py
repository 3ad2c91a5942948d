"""Processes are killed, stopped, terminated or starved, and extra ones join."""

import asyncio
import itertools
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import psutil

from tests.faults.arena import Arena
from tests.faults.cluster import PARTITIONS, until_members
from tests.faults.run_state import Wake
from tests.faults.size import MOST_EXTRA_WORKERS, PROCESSORS
from tests.faults.stage import PROCESSES, SERVICES, Fault, Stage, no_limits


def _killed(kind: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        name = stage.one_of(kind)
        at_ms = time.time() * 1000
        await stage.arena.kill(name)
        if kind == "worker" and stage.is_alone:
            stage.state.killed_workers.append((name, at_ms))
        if kind == "processor" and stage.is_alone:
            await asyncio.sleep(1)
            taken_over_s = 1 + await stage.arena.caught_up(60)
            stage.state.measure("partitions of a killed processor go on", taken_over_s)
        await stage.last(8, 12) if kind == "worker" else await stage.last(1, 6)
        stage.arena.start(name)
        await stage.until_back(kind)

    return run


def _stopped(kind: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        name = stage.one_of(kind)
        has_children = stage.random.random() < 0.5  # like a suspended machine; else like a stopped process
        pid = stage.arena.signal(name, signal.SIGSTOP, children=has_children)
        stopped_ns = time.monotonic_ns()
        try:
            await stage.last(9, 30)
        finally:
            woke = Wake(name, stopped_ns, time.monotonic_ns(), time.time() * 1000)
            stage.arena.wake(pid)
        if kind == "worker":
            stage.state.wakes.append(woke)
        await stage.until_back(kind)

    return run


def _terminated(kind: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        name = stage.one_of(kind)
        await stage.arena.stop(name)
        await stage.last(0, 5)
        stage.arena.start(name)
        await stage.until_back(kind)

    return run


def _without_descriptors(kind: str) -> Callable[[Stage], Awaitable[None]]:
    """A process cannot open any more files or connections."""

    async def run(stage: Stage) -> None:
        pid = stage.arena.pid(stage.one_of(kind))
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (psutil.Process(pid).num_fds(), before[1]))
        try:
            await stage.last(6, 12)
        finally:
            if psutil.pid_exists(pid):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        await stage.until_back()

    return run


async def rebalance_storm(stage: Stage) -> None:
    """A processor joins or leaves every five seconds."""
    name = stage.one_of("processor")
    for action in itertools.islice(itertools.cycle(("stop", "start")), 6):
        await (stage.arena.stop(name) if action == "stop" else asyncio.to_thread(stage.arena.start, name))
        await asyncio.sleep(5)
    await stage.until_back()


async def more_processors_than_partitions(stage: Stage) -> None:
    """More processors than partitions, so one is idle; then the extra ones leave."""
    names = [stage.arena.extras.name("processor") for _ in range(PARTITIONS + 1 - PROCESSORS)]
    for name in names:
        stage.arena.extras.start(name, "processor", "--instance", name)
    if stage.is_alone:
        await until_members(stage.arena.kafka, *stage.arena.names_of("processor"), *names)
        stage.state.count(f"{PARTITIONS + 1} processors in the group")
    await stage.last(8, 15)
    await stage.end_extra(*names)
    await stage.until_back()


async def old_and_new_processor(stage: Stage) -> None:
    """A processor is stopped; a new one takes its partitions; then the old one wakes."""
    old, new = stage.one_of("processor"), stage.arena.extras.name("processor")
    stage.arena.extras.start(new, "processor", "--instance", new)
    if stage.is_alone:
        await until_members(stage.arena.kafka, *stage.arena.names_of("processor"), new)
    pid = stage.arena.signal(old, signal.SIGSTOP)
    try:
        await stage.last(9, 15)
    finally:
        stage.arena.wake(pid)
    await stage.last(1, 5)
    await stage.arena.stop(old)
    await stage.last(2, 5)
    stage.arena.start(old)
    await stage.until_back()
    await stage.end_extra(new)


async def workers_come_and_go(stage: Stage) -> None:
    """More workers of a slot each join at once; some are killed, the others leave in good order."""
    names = [stage.arena.extras.name("worker") for _ in range(stage.random.randint(4, MOST_EXTRA_WORKERS))]
    for name in names:
        stage.arena.extras.start(name, "worker", "--name", name, environment={"PULP_WORKER_CONCURRENCY": "1"})
    await asyncio.gather(*map(stage.arena.until_worker, names))
    await stage.last(4, 8)
    killed = names[: len(names) // 3]
    await asyncio.gather(*map(stage.arena.extras.kill, killed))
    await stage.end_extra(*names[len(killed) :])
    await stage.until_back()


async def clock_off(stage: Stage) -> None:
    """An extra worker and processor, whose wall clocks are an hour ahead."""
    library = stage.arena.folder / "skew.so"
    source = Path(__file__).with_name("skew.c")
    compiling = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    await asyncio.to_thread(subprocess.run, compiling, check=True)
    skewed = {"LD_PRELOAD": str(library)}
    worker, processor = stage.arena.extras.name("worker"), stage.arena.extras.name("processor")
    stage.arena.extras.start(worker, "worker", "--name", worker, environment=skewed)
    stage.arena.extras.start(processor, "processor", "--instance", processor, environment=skewed)
    if stage.is_alone:
        await stage.arena.until_worker(worker)
        await until_members(stage.arena.kafka, *stage.arena.names_of("processor"), processor)
        stage.state.count("workers and processors with a wrong clock", 2)
    await stage.last(12, 18)
    await stage.end_extra(worker, processor)
    await stage.until_back()


def _no_compiler(arena: Arena) -> str | None:
    return None if shutil.which("cc") else "the clock is changed by a library that is compiled on the spot: no cc here"


FAULTS: Final[tuple[Fault, ...]] = (
    *(Fault(f"kill -9: {kind}", kind, _killed(kind)) for kind in PROCESSES),
    *(Fault(f"SIGSTOP, SIGCONT: {kind}", kind, _stopped(kind)) for kind in PROCESSES),
    *(Fault(f"SIGTERM: {kind}", kind, _terminated(kind)) for kind in PROCESSES),
    *(Fault(f"no file descriptors: {kind}", kind, _without_descriptors(kind), no_limits) for kind in SERVICES),
    Fault("rebalance storm", "processor", rebalance_storm),
    Fault("more processors than partitions", "processor", more_processors_than_partitions),
    Fault("old and new processor at once", "processor", old_and_new_processor),
    Fault("workers come and go", "extra workers", workers_come_and_go),
    Fault("a clock that is an hour ahead", "clock", clock_off, _no_compiler),
)
