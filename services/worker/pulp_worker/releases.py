"""Giving claims back, many in one transaction."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import psycopg

from pulp_worker.claims import Claim, Claims, LetGo

_RETRY_S: Final = 0.5
_log = logging.getLogger("pulp.worker")


class Releases:
    """Collects what is to be given back while a transaction is under way; the next one takes all of it."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._parting: dict[asyncio.Future[Mapping[str, int]], LetGo] = {}
        self._wake = asyncio.Event()

    async def let_go(self, claim: Claim, *, is_over: bool, heir: Claim | None = None) -> Mapping[str, int]:
        """Returns when the claim is given back, however long Postgres is away: the tokens that the heir has then."""
        done: asyncio.Future[Mapping[str, int]] = asyncio.get_running_loop().create_future()
        self._parting[done] = LetGo(claim, is_over, heir)
        self._wake.set()
        return await done

    async def run(self) -> None:
        """Give back what is to be given back; for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            parting = dict(self._parting)
            try:
                tokens = await self._claims.let_go(list(parting.values()))
            except psycopg.Error as error:
                _log.warning("claims cannot be given back yet: %s", str(error).strip())
                await asyncio.sleep(_RETRY_S)
                self._wake.set()
                continue
            for done, item in parting.items():
                del self._parting[done]
                if not done.done():
                    done.set_result(tokens.get(item.heir.task_id, {}) if item.heir is not None else {})
