"""Ending the claims of final tasks and releasing those of others, many in one statement."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import psycopg
from pulp_projections.away import reason_of

from pulp_worker.attempt import Attempt
from pulp_worker.attempt_parts import Closed, Finishing, Kept, Over, Released
from pulp_worker.attempt_state import has_passed
from pulp_worker.claims import Claims

_RETRY_S: Final = 0.5
_LATE_S: Final = 1.0
"""The dispatcher itself ends the claims of tasks that have succeeded. If it has not done so for this long, the worker
does."""
_log = logging.getLogger("pulp.worker")


class Closing:
    """Ends and releases claims according to the states of the attempts; those that come up meanwhile wait for the next
    statement."""

    def __init__(self, claims: Claims, attempts: Callable[[], Iterable[Attempt]]) -> None:
        self.lock = asyncio.Lock()
        """While it is held, nothing is ended or released."""
        self.positions: Mapping[int, int] = {}
        """The last known position of the projection: only a hint as to when to try."""
        self.is_hurried = False
        """Leave nothing to the dispatcher: the worker is about to stop."""
        self._claims = claims
        self._attempts = attempts
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Wake up: there may be claims to end or release."""
        self._wake.set()

    async def run(self) -> None:
        """End and release claims, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with self.lock:
                    await self._release()
                    await self._end()
            except psycopg.Error as error:
                _log.warning("claims cannot be released yet: %s", reason_of(error))
                await asyncio.sleep(_RETRY_S)
                self._wake.set()

    async def _release(self) -> None:
        released = [attempt for attempt in self._attempts() if isinstance(attempt.state, Released)]
        if released:
            await self._claims.release([attempt.claim for attempt in released])
        for attempt in released:
            attempt.feed(Closed())

    async def _end(self) -> None:
        ended = [attempt for attempt in self._attempts() if self._is_due(attempt)]
        if not ended:
            return
        kept = await self._claims.end([attempt.claim for attempt in ended])
        for attempt in ended:
            attempt.feed(Kept() if attempt.claim.attempt_id in kept else Closed())

    def _is_due(self, attempt: Attempt) -> bool:
        match attempt.state:
            case Over():
                return True
            case Finishing(position=position) if position is not None and has_passed(self.positions, position):
                if attempt.state.may_go_on:
                    return False  # a look shows whether its task goes on or has ended
                return self.is_hurried or not attempt.state.is_successful or self._is_late(attempt)
            case _:
                return False

    def _is_late(self, attempt: Attempt) -> bool:
        return asyncio.get_running_loop().time() - attempt.ended_at_s > _LATE_S
