"""Giving claims back, many in one transaction."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

import psycopg
from pulp_events.task import Position
from pulp_projections.away import reason_of
from pulp_projections.reading.positions import Positions

from pulp_worker.claims import Claim, Claims, LetGo

_RETRY_S: Final = 0.5
_REST_S: Final = 0.02
"""After a transaction, unless something reserved is to be given back: what others may wait for is not kept waiting."""
_log = logging.getLogger("pulp.worker")

Tokens = Mapping[str, int]
"""Fencing token by resource."""


class _Parting(NamedTuple):
    let_go: LetGo
    after: Position | None


class Releases:
    """Collects what is to be given back while a transaction is under way; the next one takes all of it."""

    def __init__(self, claims: Claims, positions: Positions) -> None:
        self._claims = claims
        self._positions = positions
        self._parting: dict[asyncio.Future[Tokens | None], _Parting] = {}
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        """What is to be given back now is reserved."""

    async def let_go(self, claim: Claim, *, heir: Claim | None = None) -> Tokens:
        """Returns when the claim is given back, however long Postgres is away: the tokens that the heir has then.

        The task's number stays taken: another attempt may come.
        """
        return await self._part(_Parting(LetGo(claim, is_over=False, heir=heir), None)) or {}

    async def end(self, claim: Claim, after: Position | None, *, heir: Claim | None = None) -> Tokens | None:
        """The same for a task that has ended, once the projection is past the position. None if it is not final then.

        In that case nothing was given back.
        """
        return await self._part(_Parting(LetGo(claim, is_over=True, heir=heir), after))

    def notice(self) -> None:
        """The projection has moved."""
        for parting in self._parting.values():
            self._heed(parting)

    async def run(self) -> None:
        """Give back what is to be given back; for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._hurry.clear()
            due = {done: item.let_go for done, item in self._parting.items() if self._is_due(item)}
            if not due:
                continue
            try:
                parted = await self._claims.let_go(list(due.values()))
            except psycopg.Error as error:
                _log.warning("claims cannot be given back yet: %s", reason_of(error))
                await asyncio.sleep(_RETRY_S)
                self._wake.set()
                continue
            for done, item in due.items():
                del self._parting[done]
                if not done.done():
                    is_kept = item.is_over and item.claim.task_id in parted.kept
                    tokens = {} if item.heir is None else parted.tokens.get(item.heir.task_id, {})
                    done.set_result(None if is_kept else tokens)
            await self._rest()

    async def _part(self, parting: _Parting) -> Tokens | None:
        done: asyncio.Future[Tokens | None] = asyncio.get_running_loop().create_future()
        self._parting[done] = parting
        self._heed(parting)
        return await done

    def _heed(self, parting: _Parting) -> None:
        if self._is_due(parting):
            self._wake.set()
            if parting.let_go.claim.tokens:
                self._hurry.set()

    async def _rest(self) -> None:
        """Collect for a while what nobody waits for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REST_S):
                await self._hurry.wait()

    def _is_due(self, parting: _Parting) -> bool:
        return parting.after is None or self._positions.has_passed(parting.after)
