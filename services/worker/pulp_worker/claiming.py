"""When the worker claims: as soon as there may be something to run and a slot for it, for many slots where it can."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import psycopg
from pulp_projections.away import ANY, keep_trying, reason_of
from pulp_projections.connection import connect

from pulp_worker.claims import Claims
from pulp_worker.settings import Settings
from pulp_worker.slots import Slots

_POLL_S: Final = 2.0
_RETRY_S: Final = 0.5
_SPACING_S: Final = 0.02
_FILLING_S: Final = 0.05
_log = logging.getLogger("pulp.worker")


class Claiming:
    """Claims tasks for the slots. `may_claim` is asked before each time; `on_doubt` hears of unanswered claims."""

    def __init__(
        self,
        settings: Settings,
        operations: Sequence[str],
        claims: Claims,
        slots: Slots,
        *,
        may_claim: Callable[[], Awaitable[bool]],
        on_doubt: Callable[[], None],
        instance_id: Callable[[], UUID],
    ) -> None:
        self._settings = settings
        self._operations = operations
        self._claims = claims
        self._slots = slots
        self._may_claim = may_claim
        self._on_doubt = on_doubt
        self._instance_id = instance_id
        self._wake = asyncio.Event()
        self._freed = asyncio.Event()
        self._wants_slots = False
        """Whether more tasks may wait than there were slots for. If not, a free slot is no reason to ask."""

    def wake(self) -> None:
        """There may be a task that can run."""
        self._wake.set()

    def on_freed(self) -> None:
        """A slot has become free."""
        self._freed.set()
        if self._wants_slots:
            self._wake.set()

    async def run(self) -> None:
        """Claim whenever there may be something to run; for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._wake.wait()
            self._wake.clear()
            room = self._settings.concurrency - self._slots.occupied
            self._wants_slots = room <= 0
            if room > 0 and await self._may_claim():
                await self._claim(room)

    async def listen(self) -> None:
        """Woken when a task has come, or somebody has let go of a resource; for ever."""
        await keep_trying(self._listen, lambda error, pause_s: None, on=ANY)  # what claims logs that Postgres is away

    async def _listen(self) -> None:
        name = f"pulp-worker/{self._settings.name}/wake"
        async with await connect(self._settings.postgres, name) as connection:
            await connection.execute("listen pulp_claims")
            async for _ in connection.notifies():
                self._wake.set()

    async def _claim(self, room: int) -> None:
        began_s = time.monotonic()
        try:
            chains = await self._claims.claim(self._operations, room, self._instance_id())
        except psycopg.Error as error:
            _log.warning("cannot claim now: %s", reason_of(error))
            self._on_doubt()
            await asyncio.sleep(_RETRY_S)
            self._wake.set()
            return
        for chain in chains:
            self._slots.take(chain)
        if len(chains) == room:
            await self._room_for_many()
        else:  # one with little to find does not ask all the time
            elapsed_s = time.monotonic() - began_s
            await asyncio.sleep(min(elapsed_s, _SPACING_S) if chains else 2 * elapsed_s)

    async def _room_for_many(self) -> None:
        """Returns when most slots are free, or after a while: tasks that are claimed together cost less each."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FILLING_S):
                while self._slots.occupied > self._settings.concurrency // 4:
                    self._freed.clear()
                    await self._freed.wait()
        self._wake.set()
