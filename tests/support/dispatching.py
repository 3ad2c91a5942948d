"""A dispatcher that runs in the test's own loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Never
from uuid import UUID

from psycopg import AsyncConnection
from pulp_accounts.users import Role
from pulp_events.log import Log
from pulp_processor.dispatching.dispatcher import Dispatcher
from pulp_processor.dispatching.elected import Elected
from pulp_processor.dispatching.tables import PostgresTables
from pulp_runtime.installation import UNSERVED_S


class GatedDispatcher(Dispatcher):
    """One that a test can keep from looking, so that several things happen between two looks."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_open, self._has_arrived = asyncio.Event(), asyncio.Event()
        self._is_open.set()

    async def shut(self) -> None:
        """Returns when it has looked at everything so far, and looks no more."""
        self._is_open.clear()
        self._has_arrived.clear()
        self._wake.set()
        await self._has_arrived.wait()

    async def open(self, told: UUID) -> None:
        """Let it look as soon as it was notified of this hold."""
        while told not in self._released:  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.001)
        self._is_open.set()

    async def _pause(self, most_s: float | None) -> None:
        await super()._pause(most_s)
        self._has_arrived.set()
        await self._is_open.wait()


class RunningDispatcher:
    """A dispatcher with a log and a database; it runs from `start` to `stop`."""

    def __init__(
        self,
        database: str,
        log: Log,
        *,
        quotas: Mapping[Role, str] | None = None,
        unserved_s: float = UNSERVED_S,
        companion: Callable[[], Coroutine[Any, Any, Never]] | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ahead_s = 0.0
        """How much further its clock is than `clock_s`."""
        self.dispatcher = GatedDispatcher(
            log,
            database,
            quotas=quotas or {},
            unserved_s=unserved_s,
            clock_s=lambda: clock_s() + self.ahead_s,
            companions=() if companion is None else (companion,),
        )
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run it, until it is elected and after."""
        self._running = asyncio.create_task(self.dispatcher.run())

    async def stop(self) -> None:
        """Stop it in good order, as a processor does."""
        assert self._running is not None
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running

    def check(self) -> None:
        """Raises the error that ended it, if any."""
        if self._running is not None and self._running.done():
            self._running.result()


@asynccontextmanager
async def dispatcher(
    database: str, log: Log, *, quotas: Mapping[Role, str] | None = None, unserved_s: float = UNSERVED_S
) -> AsyncIterator[RunningDispatcher]:
    """A dispatcher that runs."""
    running = RunningDispatcher(database, log, quotas=quotas, unserved_s=unserved_s)
    running.start()
    try:
        yield running
    finally:
        await running.stop()


async def epoch(connection: AsyncConnection) -> int:
    """How often a dispatcher was elected."""
    [(found,)] = await (await connection.execute("select epoch from dispatcher")).fetchall()
    return int(found)


async def assigned_now(
    connection: AsyncConnection, *, quotas: Mapping[Role, str] | None = None, unserved_s: float = UNSERVED_S
) -> list[list[UUID]]:
    """The assignments of a dispatcher that is elected now, slot by slot. It fails while another one has a lease."""
    tables = PostgresTables(connection, "a test")
    assert await tables.elect()
    await tables.settle()
    elected = Elected(tables, quotas or {}, unserved_s)
    await elected.begin()
    return [[task.task_id for task in assignment.tasks] for assignment in await elected.write()]
