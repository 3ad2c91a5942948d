"""The queue before the password check: few at a time, a bounded number waiting, fair between names."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pulp_api.login_limits import Lane, LoginsLimited

_CROWDED_S: Final = 2.0
"""Until a turn may be had again, where too many wait."""


class _Waiter:
    def __init__(self, lane: Lane, name: str, behind: int, number: int) -> None:
        self.name = name
        self.rank = (lane, behind, number)
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class LoginQueue:
    """At most `slots` are in their turn at once, and at most `most` wait.

    By lane first; within a lane one of each name, then the second of each, and so on: many attempts on one name do not
    hold up another. Where too many wait, the last in this order is refused.
    """

    def __init__(self, slots: int, most: int) -> None:
        self._free, self._most = slots, most
        self._waiting: list[_Waiter] = []
        self._numbers = 0

    @asynccontextmanager
    async def turn(self, lane: Lane, name: str) -> AsyncIterator[None]:
        """Wait for a turn. Raises `LoginsLimited` for who is refused."""
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._wait(lane, name)
        try:
            yield
        finally:
            self._hand_over()

    async def _wait(self, lane: Lane, name: str) -> None:
        behind = Counter(waiter.name for waiter in self._waiting)[name]
        self._numbers += 1
        waiter = _Waiter(lane, name, behind, self._numbers)
        self._waiting.append(waiter)
        if len(self._waiting) > self._most:
            last = max(self._waiting, key=lambda each: each.rank)
            self._waiting.remove(last)
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
        if not self._waiting:
            self._free += 1
            return
        first = min(self._waiting, key=lambda each: each.rank)
        self._waiting.remove(first)
        first.turn.set_result(None)
