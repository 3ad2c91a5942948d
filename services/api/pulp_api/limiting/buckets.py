"""Rate limits of users: token buckets of this process, and buckets that all API processes share."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pulp_accounts.quota_store import Taken

_MOST_KNOWN: Final = 10_000
_LEASE_S: Final = 0.2
"""A process takes what a shared bucket gains in this time at once, so that most submissions need no query."""
_UNUSED_S: Final = 10.0
"""Tokens that were taken but not used for this long are dropped."""

Key = tuple[str, str]
"""The user, and the name of the bucket."""
Take = Callable[[Key, float, float, float, float], Awaitable[Taken]]
"""Takes tokens from the shared bucket; the arguments are key, rate, burst, least and most."""


@dataclass(slots=True)
class _Level:
    tokens: float
    at_s: float


class LocalBuckets:
    """Token buckets of this process."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._levels: dict[Key, _Level] = {}

    def wait_s(self, key: Key, rate: float, burst: float) -> float:
        """Take one token: 0, or the seconds until one is available if there was none."""
        now = self._clock_s()
        level = self._levels.get(key)
        if level is None:
            if len(self._levels) >= _MOST_KNOWN:
                self._levels.clear()
            level = self._levels[key] = _Level(burst, now)
        level.tokens = min(burst, level.tokens + rate * (now - level.at_s))
        level.at_s = now
        if level.tokens < 1:
            return (1 - level.tokens) / rate if rate else _UNUSED_S
        level.tokens -= 1
        return 0.0


class SharedBuckets:
    """Token buckets that all API processes share, through Postgres.

    Together they never exceed `burst` plus `rate` times the elapsed time: tokens that a process takes in advance leave
    the shared bucket at once.
    """

    def __init__(self, take: Take, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._take = take
        self._clock_s = clock_s
        self._leases: dict[Key, _Level] = {}
        self._locks: dict[Key, asyncio.Lock] = {}

    async def wait_s(self, key: Key, need: float, rate: float, burst: float) -> float:
        """Take `need` tokens: 0, or the seconds until they are available if there were too few.

        A need above `burst` counts as `burst`, the most a bucket can hold. Raises `psycopg.OperationalError`.
        """
        need = min(need, burst)
        if self._spend(key, need):
            return 0.0
        async with self._locks.setdefault(key, asyncio.Lock()):  # only one of several concurrent calls queries
            if self._spend(key, need):
                return 0.0
            held = self._held(key)
            least = need - held
            taken = await self._take(key, rate, burst, least, max(least, rate * _LEASE_S))
            if len(self._leases) >= _MOST_KNOWN:
                self._leases.clear()
                self._locks = {key: self._locks[key]}
            self._leases[key] = _Level(self._held(key) + taken.granted, self._clock_s())
            return 0.0 if self._spend(key, need) else max(0.0, least - taken.left) / rate

    def _held(self, key: Key) -> float:
        lease = self._leases.get(key)
        return 0.0 if lease is None or self._clock_s() - lease.at_s > _UNUSED_S else lease.tokens

    def _spend(self, key: Key, need: float) -> bool:
        held = self._held(key)
        if held < need:
            return False
        self._leases[key].tokens = held - need
        return True
