"""Retries what may succeed the next time: after growing pauses, at other servers, and until a server is given up."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from pulp_runtime.outgoing.texts import origin, shown

from pulp_worker.errors import LimitExceeded, OperationError
from pulp_worker.fetching.errors import FetchFailed, ServerDown
from pulp_worker.fetching.standing import Standing, is_hopeless

T = TypeVar("T")
PAUSES_S: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""The longest waits before the second try and those after it; the shortest are half as long. After the last one, the
request has failed."""
LONGEST_PAUSE_S: Final = 120.0
"""A server that asks for a longer pause has failed."""
MOST_SMALL_STEPS: Final = 100
"""How many attempts may each bring a part of a file: each is progress, so a server could go on for ever."""
SMALL_STEP_BYTES: Final = 64 * 1024
_SHORT_S: Final = 5.0
"""A try that ends within this many seconds needs no minimum of bytes."""
_DOWN: Final = "does not answer any more: it has failed many times in a row, and is given up"


async def patiently(attempt: Callable[[], Awaitable[T]], pauses_s: Sequence[float] | None = None) -> T:
    """The result of the attempt; after a transient `FetchFailed` it is repeated, after the delay of `Retry-After`."""
    for pause_s in PAUSES_S if pauses_s is None else pauses_s:
        try:
            return await attempt()
        except FetchFailed as error:
            if not _may_work(error):
                raise
            await asyncio.sleep(max(_jittered(pause_s), error.pause_s or 0))
    return await attempt()


class Clock:
    """The machine's clock; tests have others."""

    def now_s(self) -> float:
        """Seconds since a fixed but arbitrary time."""
        return time.monotonic()

    async def sleep(self, pause_s: float) -> None:
        """Returns after the given seconds."""
        await asyncio.sleep(pause_s)


_CLOCK: Final = Clock()


class Patience:
    """A task's experience with its servers, and its retries."""

    def __init__(self, total_s: float, lowest_rate: int = 0, clock: Clock = _CLOCK) -> None:
        """`total_s` is for one file with all its tries; `lowest_rate` is the rate a long try must reach to count as
        progress."""
        self._total_s, self._lowest_rate, self._clock = total_s, lowest_rate, clock
        self._standings: dict[str, Standing] = {}

    async def first_of(
        self,
        urls: Sequence[str],
        attempt: Callable[[str], Awaitable[T]],
        *,
        progress: Callable[[], int] = lambda: 0,
    ) -> T:
        """The result of the attempt for one of the URLs, which are in order of preference.

        A URL that fails for good is dropped; one that may work the next time is tried again after a pause, and the
        others are tried meanwhile. `progress` returns how many bytes are there: a try that brought some does not
        count as failed. Raises `ServerDown` if all servers have been given up, because each has failed many times in a
        row, whatever was requested. Otherwise raises the first URL's last failure.
        """
        until_s = self._clock.now_s() + self._total_s
        search = _Search(urls, self._standings, until_s, self._lowest_rate, self._clock)
        while True:
            url = await search.turn()
            began_s, had_bytes = self._clock.now_s(), progress()
            try:
                result = await attempt(url)
            except OperationError as error:
                if not isinstance(error, FetchFailed | LimitExceeded):
                    raise
                search.note(url, error, began_s, progress() - had_bytes)
            else:
                search.standing(url).succeeded()
                return result


class _Search:
    """One file at the URLs that are left for it."""

    def __init__(
        self, urls: Sequence[str], standings: dict[str, Standing], until_s: float, lowest_rate: int, clock: Clock
    ) -> None:
        self._left = list(dict.fromkeys(urls))
        self._preferred = self._left[0]
        self._of = {url: standings.setdefault(origin(url), Standing()) for url in self._left}
        self._until_s, self._lowest_rate, self._clock = until_s, lowest_rate, clock
        self._tries_left = len(PAUSES_S) + len(self._left)
        self._tries = dict.fromkeys(self._left, 0)
        self._lost_s = dict.fromkeys(self._left, 0.0)
        self._ready_s = dict.fromkeys(self._left, 0.0)
        self._small_steps = 0
        self._first: FetchFailed | LimitExceeded | None = None

    def standing(self, url: str) -> Standing:
        return self._of[url]

    async def turn(self) -> str:
        """The URL to ask now. Waits while all of their servers rest."""
        now_s = self._clock.now_s()
        up = [url for url in self._left if not self.standing(url).is_down(len(PAUSES_S) + 1, now_s + LONGEST_PAUSE_S)]
        if not up:
            raise self._first or ServerDown(f"{shown(origin(self._left[0]))} {_DOWN}")
        url = min(up, key=lambda url: (self._pause_s(url, now_s), self.standing(url).is_disappointing))
        pause_s = self._pause_s(url, now_s)
        if pause_s > 0:
            if self._first is not None and now_s + pause_s > self._until_s:
                raise self._first
            await self._clock.sleep(pause_s)
        return url

    def _pause_s(self, url: str, now_s: float) -> float:
        return max(0.0, self._ready_s[url] - now_s, self.standing(url).ready_s - now_s)

    def note(self, url: str, error: FetchFailed | LimitExceeded, began_s: float, gained_bytes: int) -> None:
        """A try has failed. Raises the first error if another try is not worth it."""
        if self._first is None or url == self._preferred:
            self._first = error
        if isinstance(error, LimitExceeded) or not error.is_transient:
            self.standing(url).disappointed()
            self._leave(url)
        elif self._is_progress(gained_bytes, self._clock.now_s() - began_s):
            self._small_steps += gained_bytes < SMALL_STEP_BYTES
            self._tries[url], self._lost_s[url] = 0, 0.0
            self._tries_left = len(PAUSES_S) + len(self._left)
            self.standing(url).succeeded()
            self._ready_s[url] = self._clock.now_s() + _jittered(next(iter(PAUSES_S), 0.0))
        else:
            self._failed(url, error, began_s)

    def _is_progress(self, gained_bytes: int, took_s: float) -> bool:
        is_fast = took_s <= _SHORT_S or gained_bytes >= self._lowest_rate * took_s
        return gained_bytes > 0 and is_fast and self._small_steps < MOST_SMALL_STEPS

    def _failed(self, url: str, error: FetchFailed, began_s: float) -> None:
        now_s, asked_s = self._clock.now_s(), error.pause_s or 0.0
        pauses_s = [_jittered(pause_s) for pause_s in PAUSES_S]
        self.standing(url).failed(began_s=began_s, now_s=now_s, pauses_s=pauses_s, asked_pause_s=asked_s)
        self._tries[url] += 1
        self._lost_s[url] += now_s - began_s
        self._tries_left -= 1
        if self._tries_left == 0:
            raise self._first or error
        is_hopeless_here = is_hopeless(self._tries[url], self._lost_s[url], len(PAUSES_S) + 1)
        if is_hopeless_here or asked_s > LONGEST_PAUSE_S:
            self._leave(url)
        else:
            self._ready_s[url] = now_s + max(pauses_s[self._tries[url] - 1], asked_s)

    def _leave(self, url: str) -> None:
        self._left.remove(url)
        if not self._left and self._first is not None:
            raise self._first


def _may_work(error: FetchFailed) -> bool:
    return error.is_transient and (error.pause_s or 0) <= LONGEST_PAUSE_S


def _jittered(pause_s: float) -> float:
    """Between half of it and all of it, so that those who failed together do not come back together."""
    return pause_s * random.uniform(0.5, 1.0)
