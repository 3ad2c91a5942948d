"""The queue before the password check: few at a time, a bounded number waiting, fair between names."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from pulp_api.logins.limits import Lane, LoginsLimited

_CROWDED_S: Final = 2.0
"""Until a turn may be had again, where too many wait."""


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
    """At most `slots` are in their turn at once, and at most `most` wait.

    By lane first; within a lane one of each name from each site, then the second of each, and so on; among these those
    first of whose name and site the fewest wait. So many attempts hold up neither another name, nor the same name from
    elsewhere. Where too many wait, the last in this order is refused.
    """

    def __init__(self, slots: int, most: int) -> None:
        self._free, self._most = slots, most
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def turn(self, lane: Lane, name: str, site: str) -> AsyncIterator[None]:
        """Wait for a turn. Raises `LoginsLimited` for who is refused."""
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
                self._hand_over()  # the turn came, and nobody is here to take it
            raise

    def _hand_over(self) -> None:
        there = [each for each in self._waiting if not each.turn.done()]  # others were cancelled just now
        if not there:
            self._free += 1
            return
        first = min(there, key=lambda each: each.rank)
        self._waiting.remove(first)
        first.turn.set_result(None)
