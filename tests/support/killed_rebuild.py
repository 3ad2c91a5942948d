"""A command of a rebuild in a process of its own, which kills itself with kill -9 as soon as it has changed something.

What a killed process leaves is what it has committed, so the states that it can leave are those after each commit. They are
not listed here: after each exchange with Postgres that leaves no transaction open the process looks at the database, and a
change counts as a step. So no step of the code can be forgotten.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus
from pulp_processor.consuming import internals
from pulp_processor.rebuilding import activation, history, rebuild
from pulp_processor.rebuilding.progress import Progress, Report
from pulp_processor.rebuilding.verify import verify
from pulp_processor.settings import Settings

LIMIT_S: Final = 60
DETACHED_BEFORE: Final = datetime(2024, 1, 1, tzinfo=UTC)
COMMANDS: Final[dict[str, Callable[[Settings, Report], Awaitable[Any]]]] = {
    "start": rebuild.start,
    "resume": rebuild.resume,
    "verify": lambda settings, report: rebuild.verify(settings, report=report),
    "activate": activation.activate,
    "rollback": activation.rollback,
    "prune": lambda settings, report: activation.prune(settings),
    "compare with the log": verify,
    "detach": lambda settings, report: history.detach(settings, DETACHED_BEFORE),
}
_context: Final = multiprocessing.get_context("forkserver")
_STATE: Final = """
select (select json_agg(g order by generation) from generations g)::text,
       (select json_agg(a) from active_generation a)::text,
       (select json_agg(json_build_array(n.nspname, c.relname, c.relkind, c.reltuples) order by n.nspname, c.relname)
          from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname ~ '^generation_')::text,
       (select json_agg(pg_get_viewdef(c.oid) order by relname)
          from pg_class c where relkind = 'v' and relnamespace = 'public'::regnamespace)::text
"""


class Command(NamedTuple):
    """A command, and after how many changes the process ends."""

    name: str
    settings: Settings
    steps: int
    phases: Path
    """A file that gets a line for each phase that is reported."""


def run_killed(command: Command) -> bool:
    """Whether it was killed; else it has ended well, with fewer changes. Blocks."""
    _context.set_forkserver_preload([__name__])
    process = _context.Process(target=_run, args=(command,))
    process.start()
    process.join(LIMIT_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"{command.name} has neither ended nor changed anything within {LIMIT_S} s")
    assert process.exitcode in (0, -signal.SIGKILL), (command.name, process.exitcode)
    return process.exitcode != 0


def _run(command: Command) -> None:
    internals.install()
    watch = _Watch(command.settings.postgres, command.steps)
    real = AsyncConnection.wait

    async def wait(connection: AsyncConnection, *arguments: Any, **named: Any) -> Any:
        found = await real(connection, *arguments, **named)
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            watch.look()
        return found

    AsyncConnection.wait = wait  # type: ignore[method-assign,assignment]  # every exchange goes through it

    def report(progress: Progress) -> None:
        with command.phases.open("a", encoding="utf-8") as file:
            file.write(f"{progress.phase}\n")

    async def act() -> None:
        await COMMANDS[command.name](command.settings, report)

    asyncio.run(act())


class _Watch:
    def __init__(self, postgres: str, steps: int) -> None:
        self._connection = psycopg.connect(postgres, autocommit=True)
        self._connection.execute("set lock_timeout = '50ms'")  # the holder of the lock may be in this process
        self._left = steps
        self._state = self._read()

    def look(self) -> None:
        try:
            state = self._read()
        except psycopg.errors.LockNotAvailable:
            return
        if state != self._state:
            self._state = state
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)

    def _read(self) -> list[Any]:
        found: list[Any] = list(self._connection.execute(_STATE).fetchall())
        for (number,) in self._connection.execute("select generation from generations order by 1").fetchall():
            places = sql.SQL("select * from {}.positions order by 1").format(sql.Identifier(f"generation_{number}"))
            try:
                found += self._connection.execute(places).fetchall()
            except psycopg.errors.UndefinedTable:
                continue  # dropped meanwhile
        return found
