"""The faults, by name. Each goes on for a while, ends by itself, and leaves everything started and awake."""

import asyncio
import contextlib
import itertools
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import psycopg

from tests.faults.arena import BROKERS, DISK_MB, PARTITIONS, PROCESSORS, TOPIC, WORKERS, Arena
from tests.faults.poison import poison, write
from tests.faults.proxy import Proxy, Trap
from tests.faults.run_state import State

_SERVICES: Final = {
    "api": ("api",),
    "processor": tuple(f"processor-{number}" for number in range(1, PROCESSORS + 1)),
    "worker": tuple(f"worker-{number}" for number in range(1, WORKERS + 1)),
    "broker": tuple(f"kafka-{number}" for number in range(1, BROKERS + 1)),
}


class Fault(NamedTuple):
    """`group`: of one group no two go on at once."""

    name: str
    group: str
    run: Callable[["Stage"], Awaitable[None]]
    impossible: Callable[[Arena], str | None] = lambda arena: None
    """Why it cannot be had on this machine, if it cannot."""


@dataclass
class Stage:
    """What a fault works with."""

    arena: Arena
    state: State
    random: Random
    is_alone: bool

    async def last(self, least_s: float, most_s: float) -> None:
        """Let the fault go on for some seconds."""
        await asyncio.sleep(self.random.uniform(least_s, most_s))


def _killed(kind: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        name = stage.random.choice(_SERVICES[kind])
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
        await _back(stage, kind)

    return run


def _stopped(kind: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        name = stage.random.choice(_SERVICES[kind])
        stage.arena.signal(name, signal.SIGSTOP)
        try:
            await stage.last(9, 30)
        finally:
            stage.arena.signal(name, signal.SIGCONT)
        await _back(stage, kind)

    return run


def _terminated(kind: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        name = stage.random.choice(_SERVICES[kind])
        await stage.arena.stop(name)
        await stage.last(0, 5)
        stage.arena.start(name)
        await _back(stage, kind)

    return run


async def _back(stage: Stage, kind: str) -> None:
    await (stage.arena.until_brokers() if kind == "broker" else stage.arena.until_services())


async def two_brokers_lost(stage: Stage) -> None:
    """Writes are refused with 503, reads go on; then the brokers come back."""
    lost = stage.random.sample(_SERVICES["broker"], 2)
    await asyncio.gather(*map(stage.arena.kill, lost))
    await stage.last(12, 20)
    for name in lost:
        stage.arena.start(name)
    await stage.arena.until_brokers()


async def every_broker_restarted(stage: Stage) -> None:
    """A rolling restart: leaders move from one to the other."""
    for name in _SERVICES["broker"]:
        await stage.arena.stop(name)
        stage.arena.start(name)
        await stage.arena.until_brokers()


async def postgres_killed(stage: Stage) -> None:
    """All of its processes die at once."""
    stage.state.expect_rewind()
    await stage.arena.database.kill()
    await stage.last(0, 8)
    await stage.arena.database.start()
    await stage.arena.until_services()


async def postgres_restarted(stage: Stage) -> None:
    """A fast shutdown, which breaks off the transactions that are under way."""
    stage.state.expect_rewind()
    await stage.arena.database.stop()
    await stage.last(0, 3)
    await stage.arena.database.start()
    await stage.arena.until_services()


async def postgres_stopped(stage: Stage) -> None:
    """It does not answer, and does not close anything."""
    stage.arena.database.signal(signal.SIGSTOP)
    try:
        await stage.last(9, 25)
    finally:
        stage.arena.database.signal(signal.SIGCONT)
    await stage.arena.until_services()


async def standby_took_over(stage: Stage) -> None:
    """The primary dies, and the standby that takes over lacks its last transactions."""
    standby = await stage.arena.database.make_standby()
    standby.link.hold()
    await stage.last(2, 4)  # what is committed meanwhile is the tail that is lost
    stage.state.expect_rewind()
    await stage.arena.database.kill()
    await stage.arena.database.take(standby)
    await stage.arena.database.until_ready()
    await stage.arena.until_services()


def _settings_changed(name: str, value: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        execute = stage.arena.database.execute
        await asyncio.to_thread(execute, f"alter system set {name} = {value}")
        await asyncio.to_thread(execute, "select pg_reload_conf()")
        try:
            await stage.last(5, 12)
        finally:
            await asyncio.to_thread(execute, f"alter system reset {name}")
            await asyncio.to_thread(execute, "select pg_reload_conf()")
        await stage.arena.until_services()

    return run


async def statements_timed_out(stage: Stage) -> None:
    """A statement timeout, and a lock on every row of tasks, so that it strikes."""
    execute = stage.arena.database.execute
    await asyncio.to_thread(execute, "alter system set statement_timeout = '250ms'")
    await asyncio.to_thread(execute, "select pg_reload_conf()")
    try:
        async with await psycopg.AsyncConnection.connect(stage.arena.database.conninfo) as connection:
            await connection.execute("set statement_timeout = 0")
            for _ in range(3):
                await connection.execute("lock table positions, claims in access exclusive mode")
                await stage.last(1, 3)
                await connection.rollback()
                await asyncio.sleep(0.5)
    finally:
        await asyncio.to_thread(execute, "alter system reset statement_timeout")
        await asyncio.to_thread(execute, "select pg_reload_conf()")


async def disk_full(stage: Stage) -> None:
    """Postgres can write nothing more. Without room for its log it dies, and comes back when there is some."""
    stage.state.expect_rewind()
    execute = stage.arena.database.execute
    filler = stage.arena.small_disk / "filler"
    block = b"\0" * 1_048_576

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            for _ in range(DISK_MB * 2):
                if file.write(block) < len(block):
                    return

    try:
        for _ in range(3):  # what Postgres frees meanwhile is filled as well
            with contextlib.suppress(OSError):
                await asyncio.to_thread(fill)
            with contextlib.suppress(psycopg.OperationalError):
                await asyncio.to_thread(execute, "select pg_logical_emit_message(false, '', repeat('x', 50000000))")
                stage.state.count("full disks that Postgres did not notice")
            await stage.last(1, 3)
    finally:
        await asyncio.to_thread(filler.unlink, missing_ok=True)
    await stage.arena.database.until_ready()
    await stage.arena.until_services()


async def answer_of_commit_lost(stage: Stage) -> None:
    """The connection breaks after COMMIT was sent, before its answer: several times, for processor and worker."""
    proxy = stage.arena.database.proxy
    for _ in range(stage.random.randint(4, 8)):
        application = stage.random.choice([b"pulp-processor/", b"pulp-worker/"])
        proxy.trap = Trap(application, b"COMMIT")
        try:
            async with asyncio.timeout(5):
                await proxy.trap.sprung.wait()
                stage.state.count("answers of COMMIT lost")
        except TimeoutError:
            continue
        finally:
            proxy.trap = None


def _network(which: str, effect: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        postgres, brokers = stage.arena.database.proxy, stage.arena.brokers
        chosen = {"postgres": [postgres], "one broker": [stage.random.choice(brokers)], "kafka": brokers}[which]
        try:
            for proxy in chosen:
                _disturb(proxy, effect)
            await stage.last(6, 14)
        finally:
            for proxy in chosen:
                proxy.delay_s = 0
                proxy.release()
        await stage.arena.until_services()

    return run


def _disturb(proxy: Proxy, effect: str) -> None:
    match effect:
        case "cut":
            proxy.hold()
        case "delay":
            proxy.delay_s = 0.2
        case "reset":
            proxy.reset()


async def rebalance_storm(stage: Stage) -> None:
    """A processor comes and goes every five seconds."""
    name = stage.random.choice(_SERVICES["processor"])
    for action in itertools.islice(itertools.cycle(("stop", "start")), 6):
        await (stage.arena.stop(name) if action == "stop" else asyncio.to_thread(stage.arena.start, name))
        await asyncio.sleep(5)
    await stage.arena.until_services()


async def more_processors_than_partitions(stage: Stage) -> None:
    """Some of them have nothing to do; then they leave again."""
    more = [
        stage.arena.start_extra("processor", "--instance", f"extra-{number}")
        for number in range(PARTITIONS + 1 - PROCESSORS)
    ]
    await stage.last(12, 18)
    codes = await asyncio.gather(*map(stage.arena.end_extra, more))
    if not _ended_well(codes):
        stage.state.ledger.breach("processes", "extra processors", f"ended with {codes} on SIGTERM")
    await stage.arena.until_services()


async def poisoned(stage: Stage) -> None:
    """Records of every kind that nobody should have written."""
    records = list(poison(stage.random, PARTITIONS, stage.state.recent(stage.random)))
    await asyncio.to_thread(write, stage.arena.kafka, TOPIC, records)
    stage.state.count("poisonous records", len(records))


async def clock_off(stage: Stage) -> None:
    """A worker and a processor more, whose wall clocks are an hour ahead."""
    library = stage.arena.folder / "skew.so"
    source = Path(__file__).with_name("skew.c")
    compiling = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    await asyncio.to_thread(subprocess.run, compiling, check=True)
    skewed = {"LD_PRELOAD": str(library)}
    more = [
        stage.arena.start_extra("worker", "--name", "skewed", environment=skewed),
        stage.arena.start_extra("processor", "--instance", "skewed", environment=skewed),
    ]
    await stage.last(15, 20)
    codes = await asyncio.gather(*map(stage.arena.end_extra, more))
    if not _ended_well(codes):
        stage.state.ledger.breach("processes", "skewed worker and processor", f"ended with {codes} on SIGTERM")
    await stage.arena.until_services()


def _ended_well(codes: list[int]) -> bool:
    """Gracefully, or by the signal itself, where the process had not got far enough to heed it."""
    return set(codes) <= {0, -signal.SIGTERM}


def _no_small_disk(arena: Arena) -> str | None:
    return None if arena.has_small_disk else "a file system of its own for the log of Postgres needs root and mount"


def _no_compiler(arena: Arena) -> str | None:
    return None if shutil.which("cc") else "the clock is changed by a library that is compiled on the spot: no cc here"


FAULTS: Final[tuple[Fault, ...]] = (
    *(Fault(f"kill -9: {kind}", kind, _killed(kind)) for kind in _SERVICES),
    *(Fault(f"SIGSTOP, SIGCONT: {kind}", kind, _stopped(kind)) for kind in _SERVICES),
    *(Fault(f"SIGTERM: {kind}", kind, _terminated(kind)) for kind in _SERVICES),
    Fault("two of three brokers lost", "broker", two_brokers_lost),
    Fault("rolling restart of the brokers", "broker", every_broker_restarted),
    Fault("kill -9: postgres", "postgres", postgres_killed),
    Fault("restart: postgres", "postgres", postgres_restarted),
    Fault("SIGSTOP, SIGCONT: postgres", "postgres", postgres_stopped),
    Fault("failover with a lost tail", "postgres", standby_took_over),
    Fault("read-only postgres", "postgres", _settings_changed("default_transaction_read_only", "on")),
    Fault("statement timeout", "postgres", statements_timed_out),
    Fault("disk full", "postgres", disk_full, _no_small_disk),
    Fault("answer of COMMIT lost", "network", answer_of_commit_lost),
    Fault("postgres cut off", "network", _network("postgres", "cut")),
    Fault("postgres 200 ms away", "network", _network("postgres", "delay")),
    Fault("connections to postgres reset", "network", _network("postgres", "reset")),
    Fault("one broker cut off from clients", "network", _network("one broker", "cut")),
    Fault("kafka cut off", "network", _network("kafka", "cut")),
    Fault("kafka 200 ms away", "network", _network("kafka", "delay")),
    Fault("rebalance storm", "processor", rebalance_storm),
    Fault("more processors than partitions", "processor", more_processors_than_partitions),
    Fault("poison of every kind", "log", poisoned),
    Fault("a clock that is an hour ahead", "clock", clock_off, _no_compiler),
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}
