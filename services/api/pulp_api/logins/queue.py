"""The queue for password checks: few run at once, a bounded number wait, and names take turns."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from pulp_api.logins.limits import Lane, LoginsLimited

_CROWDED_S: Final = 2.0
"""When to try again after too many were waiting."""


class _Waiter:
    def __init__(self, lane: Lane, name: str, site: str, others: "Sequence[_Waiter]") -> None:
        self.name, self.site = name, site
        same_name = sum(each.name == name for each in others)
        same_site = sum(each.site == site for each in others)
        same_both = sum((each.name, each.site) == (name, site) for each in others)
        self.number: int = others[-1].number + 1 if others else 0
        self.rank: tuple[int, ...] = (lane, same_both, same_name + same_site, self.number)
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class LoginQueue:
    """At most `slots` checks run at once, and at most `most` wait.

    Lanes are served in order. Within a lane comes first one attempt for each name and site, then the second of each,
    and so on; among these, first those whose name and site have the fewest waiting. So many attempts delay neither
    another name nor the same name from elsewhere. When too many wait, the last in this order is refused.
    """

    def __init__(self, slots: int, most: int) -> None:
        self._free, self._most = slots, most
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def turn(self, lane: Lane, name: str, site: str) -> AsyncIterator[None]:
        """Wait for a turn, which lasts as long as the block. Raises `LoginsLimited` if refused."""
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._wait(_Waiter(lane, name, site, self._waiting))
        try:
            yield
        finally:
            self._hand_over()

    async def _wait(self, waiter: _Waiter) -> None:
        self._waiting.append(waiter)
        if len(self._waiting) > self._most:
            last = max(self._waiting, key=lambda each: each.rank)
            self._waiting.remove(last)
            if not last.turn.done():
                last.turn.set_exception(LoginsLimited(_CROWDED_S))
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._hand_over()  # pass on the turn that this waiter just got
            raise

    def _hand_over(self) -> None:
        waiting = [each for each in self._waiting if not each.turn.done()]  # without those just cancelled
        if not waiting:
            self._free += 1
            return
        first = min(waiting, key=lambda each: each.rank)
        self._waiting.remove(first)
        first.turn.set_result(None)
