"""How the claimed tasks stand in the projection, read for all of them at once whenever it has moved."""

import asyncio
import logging
from collections.abc import Collection
from typing import Final, NamedTuple, Protocol

import psycopg
from pulp_events.task import Position
from pulp_projections.away import reason_of
from pulp_projections.reading.positions import Positions

from pulp_worker.claims import Claim, Claims, Standing

_PATIENCE_S: Final = 5.0
_RETRY_S: Final = 0.5
_LOOK_S: Final = 0.05
"""Between two looks at all tasks, also those that wait for nothing: cancels are heeded so soon."""
_REST_S: Final = 0.005
_log = logging.getLogger("pulp.worker")


class _Question(NamedTuple):
    claim: Claim
    position: Position
    until_s: float


class Claimant(Protocol):
    """Who has claimed tasks."""

    def claimed(self) -> Collection[Claim]:
        """Its claims."""
        ...

    def heed(self, claim: Claim, standing: Standing) -> None:
        """Told now and then how a task stands."""
        ...


class Standings:
    """Answers `after` for many tasks with one query, and tells the claimant what becomes of its tasks."""

    def __init__(self, claims: Claims, positions: Positions) -> None:
        self._claims = claims
        self._positions = positions
        self._waiting: dict[asyncio.Future[Standing | None], _Question] = {}
        self._wake = asyncio.Event()
        self._looked_at_s = 0.0
        self._is_timed = False

    async def after(self, claim: Claim, position: Position) -> Standing | None:
        """How the task stood when the projection had passed the position; None if that is not known after a while."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Standing | None] = loop.create_future()
        self._waiting[answer] = _Question(claim, position, loop.time() + _PATIENCE_S)
        if self._positions.has_passed(position):
            self._wake.set()
        try:
            return await answer
        finally:
            del self._waiting[answer]

    def notice(self) -> None:
        """The projection has moved, or has not for a while."""
        self._wake.set()

    async def run(self, claimant: Claimant) -> None:
        """Look after every move; for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if any(map(self._is_due, self._waiting.values())) and not all(map(self._is_due, self._waiting.values())):
                await asyncio.sleep(_REST_S)  # others are about to be
                self._wake.clear()
            try:
                await self._look(claimant)
            except psycopg.Error as error:
                _log.warning("cannot see how tasks stand: %s", reason_of(error))
                self._give_up()
                await asyncio.sleep(_RETRY_S)
                self._wake.set()

    async def _look(self, claimant: Claimant) -> None:
        asking = {answer: asked.claim for answer, asked in self._waiting.items() if self._is_due(asked)}
        wanted = [*asking.values(), *self._due(claimant)]
        found = await self._claims.standings(wanted) if wanted else []
        for answer, standing in zip(asking, found, strict=False):  # those that are asked for come first
            if not answer.done() and standing is not None:
                answer.set_result(standing)
        for claim, standing in zip(wanted, found, strict=True):
            if standing is not None:
                claimant.heed(claim, standing)
        self._give_up()

    def _is_due(self, asked: "_Question") -> bool:
        return self._positions.has_passed(asked.position)

    def _give_up(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for answer, asked in self._waiting.items():
            if asked.until_s > now_s:
                break  # they come in order of time
            if not answer.done():
                answer.set_result(None)

    def _due(self, claimant: Claimant) -> Collection[Claim]:
        """All claimed tasks, unless they were looked at a moment ago: then soon."""
        loop = asyncio.get_running_loop()
        since_s = loop.time() - self._looked_at_s
        if since_s >= _LOOK_S:
            self._looked_at_s = loop.time()
            return claimant.claimed()
        if not self._is_timed:
            self._is_timed = True
            loop.call_later(_LOOK_S - since_s, self._look_again)
        return ()

    def _look_again(self) -> None:
        self._is_timed = False
        self._wake.set()
