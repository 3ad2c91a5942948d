"""Postgres is killed, restarted, stopped, full, slow, read-only, replaced by its standby, and its read model rebuilt."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg

from tests.faults.arena import DISK_MB, Arena
from tests.faults.stage import Fault, Stage

_REBUILD_S: Final = 120.0
_AWAY, _NOTHING_TO_RESUME, _BUSY = 69, 64, 73
"""Exit codes of `pulp-tasks rebuild`."""


async def postgres_killed(stage: Stage) -> None:
    """All of its processes die at once."""
    stage.state.expect_rewind()
    await stage.arena.database.kill()
    await stage.last(0, 8)
    await stage.arena.database.start()
    await stage.until_back()


async def postgres_restarted(stage: Stage) -> None:
    """A fast shutdown, which aborts open transactions."""
    stage.state.expect_rewind()
    await stage.arena.database.stop()
    await stage.last(0, 3)
    await stage.arena.database.start()
    await stage.until_back()


async def postgres_stopped(stage: Stage) -> None:
    """It stops answering, with its connections open."""
    stage.arena.database.signal(signal.SIGSTOP)
    try:
        await stage.last(9, 25)
    finally:
        stage.arena.database.signal(signal.SIGCONT)
    await stage.until_back()


async def standby_took_over(stage: Stage) -> None:
    """The primary dies, and the promoted standby lacks its last transactions."""
    standby = await stage.arena.database.make_standby()
    await standby.link.hold()
    await stage.last(2, 4)  # transactions from now on will be lost
    stage.state.expect_rewind()
    await stage.arena.database.kill()
    await stage.arena.database.take(standby)
    await stage.arena.database.until_ready()
    await stage.until_back()


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
        await stage.until_back()

    return run


async def statements_timed_out(stage: Stage) -> None:
    """A statement timeout, triggered by a lock on every row of tasks."""
    execute = stage.arena.database.execute
    await asyncio.to_thread(execute, "alter system set statement_timeout = '250ms'")
    await asyncio.to_thread(execute, "select pg_reload_conf()")
    try:
        async with await psycopg.AsyncConnection.connect(stage.arena.database.conninfo) as connection:
            for _ in range(3):
                await connection.execute("lock table positions, claims, holds, dispatcher in access exclusive mode")
                await stage.last(1, 3)
                await connection.rollback()
                await asyncio.sleep(0.5)
    finally:
        await asyncio.to_thread(execute, "alter system reset statement_timeout")
        await asyncio.to_thread(execute, "select pg_reload_conf()")


async def disk_full(stage: Stage) -> None:
    """Postgres cannot write any more. Without space for its WAL it dies, and recovers when there is some."""
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
        for _ in range(3):  # fill what Postgres frees meanwhile as well
            with contextlib.suppress(OSError):
                await asyncio.to_thread(fill)
            with contextlib.suppress(psycopg.OperationalError):
                await asyncio.to_thread(execute, "select pg_logical_emit_message(false, '', repeat('x', 50000000))")
                stage.state.count("full disks that Postgres did not notice")
            await stage.last(1, 3)
    finally:
        await asyncio.to_thread(filler.unlink, missing_ok=True)
    await stage.arena.database.until_ready()
    await stage.until_back()


async def rebuilt(stage: Stage) -> None:
    """A new generation is built and activated meanwhile; often its process is killed and resumed first."""
    arena = stage.arena
    name = arena.extras.name("rebuild")
    process = arena.extras.start(name, "rebuild", "start", "--activate")
    if stage.random.random() < 0.7:
        await stage.last(0.5, 4)
        process.kill()
        stage.state.count("rebuilds that were killed")
    code = await arena.extras.ended(name)
    async with asyncio.timeout(_REBUILD_S):
        while code != 0:
            if stage.is_alone and code not in (-signal.SIGKILL, _NOTHING_TO_RESUME, _BUSY):
                stage.state.ledger.breach("rebuild", name, f"ended with {code}, though nothing else was wrong")
                return
            await asyncio.sleep(1)
            action = "start" if code == _NOTHING_TO_RESUME else "resume"
            arena.extras.start(name, "rebuild", action, "--activate")
            code = await arena.extras.ended(name)
    stage.state.count("generations activated")
    if stage.is_alone:
        await _rolled_back(stage)


async def _rolled_back(stage: Stage) -> None:
    for action in (["rollback"], ["prune", "--yes"]):
        name = stage.arena.extras.name("rebuild")
        stage.arena.extras.start(name, "rebuild", *action)
        code = await stage.arena.extras.ended(name)
        if code != 0:
            stage.state.ledger.breach("rebuild", name, f"{action[0]} ended with {code}, though nothing else was wrong")
            return
    stage.state.count("generations rolled back to")


def _no_small_disk(arena: Arena) -> str | None:
    return None if arena.has_small_disk else "a file system of its own for the log of Postgres needs root and mount"


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("kill -9: postgres", "postgres", postgres_killed),
    Fault("restart: postgres", "postgres", postgres_restarted),
    Fault("SIGSTOP, SIGCONT: postgres", "postgres", postgres_stopped),
    Fault("failover with a lost tail", "postgres", standby_took_over),
    Fault("read-only postgres", "postgres", _settings_changed("default_transaction_read_only", "on")),
    Fault("statement timeout", "postgres", statements_timed_out),
    Fault("disk full", "postgres", disk_full, _no_small_disk),
    Fault("rebuild, activation, rollback", "rebuild", rebuilt),
)
