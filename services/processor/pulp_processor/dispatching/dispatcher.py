"""The dispatcher of an installation: one processor at a time is elected, and assigns tasks to workers."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Never
from uuid import UUID, uuid4

import psycopg
from pulp_accounts.users import Role
from pulp_events.errors import LogError
from pulp_events.log import Log
from pulp_projections.away import ANY, keep_trying, reason_of
from pulp_projections.channels import DISPATCH, ELECTION, POSITIONS, WORKERS
from pulp_projections.connection import connect
from pulp_projections.notices import Notices
from pulp_runtime.telemetry.catalog import ELECTED
from pulp_runtime.telemetry.metric import NO_METER, Meter, Reading
from pulp_runtime.telemetry.tracing import Tracing

from pulp_processor.dispatching.elected import Elected
from pulp_processor.dispatching.tables import (
    LEASE_S,
    PLANNING,
    Deposed,
    DispatchTables,
    Doubt,
    PostgresTables,
    renew,
    resign,
)

_ELECTION_S: Final = 0.5
"""The pause between tries to be elected, unless the elected one resigns."""
_PERIOD_S: Final = 1.0
"""The pause between looks at the workers without a notification."""
_SELDOM_S: Final = 5.0
"""The pause between looks at what hardly ever changes."""
_MANY_MOVED: Final = 16
"""If this many tasks have moved since the last look, whatever is busy anyway is checked less often."""
_SPACING_S: Final = 0.03
_SETTLING_S: Final = 0.1
_DOUBT_S: Final = 0.1
"""The pause before everything is read again, which may take long with many waiting tasks."""
_RESIGNING_S: Final = 1.0
_log = logging.getLogger("pulp.dispatcher")


class Dispatcher:
    """Runs in every processor; all except the elected one wait.

    An elected one assigns nothing before the projection has passed the end of the log at the election: until then,
    tasks that have ended may seem to wait.
    """

    def __init__(
        self,
        log: Log,
        conninfo: str,
        *,
        quotas: Mapping[Role, str],
        unserved_s: float,
        clock_s: Callable[[], float] = time.monotonic,
        companions: Sequence[Callable[[], Coroutine[Any, Any, Never]]] = (),
        meter: Meter = NO_METER,
        tracing: Tracing | None = None,
    ) -> None:
        """`quotas` are the settings of the roles. See `UNSERVED_S` for `unserved_s`.

        `companions` run for as long as this one is elected.
        """
        self._log = log
        self._conninfo = conninfo
        self._quotas = quotas
        self._unserved_s = unserved_s
        self._clock_s = clock_s
        self._companions = companions
        self._meter = meter
        self._tracing = tracing
        self._is_elected = False
        self._holder = f"{socket.gethostname()}:{os.getpid()} {uuid4()}"
        self._wake = asyncio.Event()
        self._released: set[UUID] = set()
        """Holds whose claims were ended or released since the last look."""
        self._are_workers_due = False

    async def readings(self) -> list[Reading]:
        """Its gauge."""
        return [Reading(ELECTED, float(self._is_elected))]

    async def run(self) -> Never:
        """Be elected and dispatch, for ever; wait while Kafka or Postgres is away. Cancel it to stop: it resigns."""

        def warn(error: Exception, _: float) -> None:
            _log.warning("cannot dispatch now: %s", reason_of(error) or "Postgres did not answer in time")

        await keep_trying(self._be_elected, warn, on=(*ANY, LogError, Deposed, TimeoutError))
        raise AssertionError("it ends by cancelling only")

    async def _be_elected(self) -> Never:
        async with await connect(self._conninfo, "pulp-dispatcher", settings=PLANNING) as connection:
            tables = PostgresTables(connection, self._holder, tracing=self._tracing)
            await self._until_elected(tables)
            _log.info("elected to dispatch", extra={"epoch": tables.epoch})
            has_resigned = False
            self._is_elected = True
            try:
                async with self._listening(tables.epoch) as listening:
                    dispatching = asyncio.create_task(self._dispatch_always(tables))
                    working = [dispatching, *(asyncio.create_task(companion()) for companion in self._companions)]
                    try:
                        await asyncio.wait({listening, *working}, return_when=asyncio.FIRST_COMPLETED)
                    except asyncio.CancelledError:
                        # Slow steps come after, because a successor must not wait for them.
                        for task in (listening, *working):
                            task.cancel()
                        await asyncio.wait({listening, dispatching})  # neither writes, nor renews the lease
                        has_resigned = True
                        await self._resign(tables.epoch)
                        raise
                    finally:
                        for task in working:
                            if not task.cancelling():  # cancelling it twice would interrupt its shutdown
                                task.cancel()
                        await asyncio.wait(working)
                    raise _error_of(listening, *working)
            except asyncio.CancelledError:
                if not has_resigned:
                    await self._resign(tables.epoch)
                raise
            finally:
                self._is_elected = False

    async def _until_elected(self, tables: DispatchTables) -> None:
        if await tables.elect():
            return
        notices = await Notices.open(self._conninfo, "pulp-dispatcher/election", (ELECTION,), lambda *_: None)
        try:
            while not await tables.elect():
                await notices.hear(_ELECTION_S)  # nothing notifies of a lease's end
        finally:
            await notices.close()

    @asynccontextmanager
    async def _listening(self, epoch: int) -> "AsyncIterator[asyncio.Task[None]]":
        notices = await Notices.open(self._conninfo, "pulp-dispatcher/wake", (POSITIONS, DISPATCH), self._hear)
        listening = asyncio.create_task(self._listen(notices, epoch))
        try:
            yield listening
        finally:
            listening.cancel()
            await asyncio.wait({listening})
            await notices.close()

    async def _listen(self, notices: Notices, epoch: int) -> None:
        while True:
            await notices.wait(_PERIOD_S)
            async with asyncio.timeout(LEASE_S):
                await renew(notices.connection, epoch)

    async def _resign(self, epoch: int) -> None:
        """A successor need not wait for the lease's end. By a new connection, for the other may be in use."""
        try:
            async with asyncio.timeout(_RESIGNING_S), await connect(self._conninfo, "pulp-dispatcher") as connection:
                await resign(connection, epoch)
        except (psycopg.Error, TimeoutError) as error:
            _log.warning("could not resign; the lease runs out by itself: %s", reason_of(error))

    def _hear(self, channel: str, payload: str) -> None:
        if channel == DISPATCH:
            if payload == WORKERS:
                self._are_workers_due = True
            else:
                self._released.update(_ids(payload))
        self._wake.set()

    async def _dispatch_always(self, tables: DispatchTables) -> Never:
        await self._settle(tables)
        while True:
            try:
                await self._dispatch(tables)
            except Doubt as doubt:
                _log.info("reading everything again: %s", doubt)
                await asyncio.sleep(_DOUBT_S)

    async def _dispatch(self, tables: DispatchTables) -> Never:
        self._released.clear()
        elected = Elected(tables, self._quotas, self._unserved_s, self._clock_s, meter=self._meter)
        await elected.begin()
        looked_at_s = rested_at_s = seldom_at_s = self._clock_s()
        while True:
            self._wake.clear()
            released, self._released = self._released, set()
            moved = await elected.look_at_moves(released)
            now_s = self._clock_s()
            if self._are_workers_due or now_s - looked_at_s >= _PERIOD_S:
                self._are_workers_due, looked_at_s = False, now_s
                await elected.look_at_workers()
                await elected.look_for_forgotten()
            if now_s - rested_at_s >= _PERIOD_S:
                rested_at_s = now_s
                await elected.let_rest()
            if now_s - seldom_at_s >= _SELDOM_S:
                seldom_at_s = now_s
                await elected.look_at_limits()
                await elected.look_for_unserved()
            await elected.write()
            await asyncio.sleep(spacing_s(moved))
            await self._pause(elected.backing_off.left_s())

    async def _pause(self, most_s: float | None) -> None:
        try:
            async with asyncio.timeout(_PERIOD_S if most_s is None else min(most_s, _PERIOD_S)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _settle(self, tables: DispatchTables) -> None:
        """Wait until the projection has passed the log, and workers could put back what a failover lost."""
        ends = await self._log.end_offsets()
        tell_at_s = self._clock_s() + _PERIOD_S
        while (awaited := await _awaited(tables, ends)) is not None:
            if self._clock_s() >= tell_at_s:
                tell_at_s = self._clock_s() + _SELDOM_S
                _log.info("elected, but assigning nothing yet: %s", awaited)
            await asyncio.sleep(_SETTLING_S)
        await tables.settle()


def spacing_s(moved: int) -> float:
    """How long to let moves of the projection accumulate, after a look that has found this many tasks.

    A look and a write cost about as much for one task as for thirty, and slots that get several tasks at once do not
    wait meanwhile.
    """
    return _SPACING_S if moved >= _MANY_MOVED else 0.0


async def _awaited(tables: DispatchTables, ends: Mapping[int, int]) -> str | None:
    """What a dispatcher still waits for before it may assign tasks; `ends` are those of the log at its election."""
    if not await tables.is_settled():
        return "Postgres has failed over, and workers have a lease's time to put their claims back"
    positions = (await tables.moved({})).positions
    behind = sum(max(0, end - positions.get(partition, 0)) for partition, end in ends.items())
    if not behind:
        return None
    events = "1 event" if behind == 1 else f"{behind} events"
    return f"{events} from before the election {'is' if behind == 1 else 'are'} not projected"


def _ids(payload: str) -> list[UUID]:
    try:
        return [UUID(word) for word in payload.split()]
    except ValueError:  # any role that may connect can notify, so this is a reason to look and nothing more
        return []


def _error_of(*tasks: "asyncio.Task[None] | asyncio.Task[Never]") -> BaseException:
    """The error of the first of the tasks that has one."""
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            return error
    raise AssertionError("neither has ended")
