"""Counts each user's unfinished tasks: those in the read model, and those this process has submitted since."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pulp_accounts.quota_store import Unfinished
from pulp_events.task import Position

_OLD_S: Final = 1.0
_OLD_NEAR_S: Final = 0.1
"""The age at which a count is renewed for a user near the limit."""
_SHARE: Final = 20
"""Counting takes at most one part in this many of the time."""
_LOST_S: Final = 60.0
"""How long a submission with an unknown outcome counts."""


@dataclass(eq=False, slots=True)
class Pending:
    """A submission that may not be in the read model yet."""

    at_s: float
    position: Position | None = None
    """Its position in the log; None while it is being written, or if the outcome is unknown."""


class UnfinishedTasks:
    """Counts for all users with one query. Submissions of other processes count once they are projected."""

    def __init__(
        self, read: Callable[[], Awaitable[Unfinished]], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock_s = clock_s
        self._known = Unfinished({}, {})
        self._read_at_s = -_LOST_S
        self._took_s = 0.0
        self._reading = asyncio.Lock()
        self._pending: defaultdict[str, list[Pending]] = defaultdict(list)

    async def begin(self, actor: str, limit: int) -> Pending | None:
        """Begin a submission; None if the user is at the limit. Raises `psycopg.OperationalError`."""
        await self._refresh(_OLD_S)
        if self._count(actor) >= limit - max(10, limit // 10):
            await self._refresh(_OLD_NEAR_S)
        if self._count(actor) >= limit:
            return None
        pending = Pending(self._clock_s())
        self._pending[actor].append(pending)
        return pending

    def drop(self, actor: str, pending: Pending) -> None:
        """Nothing was written."""
        if pending in self._pending.get(actor, ()):
            self._pending[actor].remove(pending)

    def _count(self, actor: str) -> int:
        return self._known.tasks.get(actor, 0) + len(self._pending.get(actor, ()))

    async def _refresh(self, old_s: float) -> None:
        if not self._is_old(old_s):
            return
        async with self._reading:
            if not self._is_old(old_s):
                return
            begun_s = self._clock_s()
            self._known = await self._read()
            self._read_at_s = self._clock_s()
            self._took_s = self._read_at_s - begun_s
            for actor in list(self._pending):
                self._pending[actor] = [each for each in self._pending[actor] if self._is_missing(each)]
                if not self._pending[actor]:
                    del self._pending[actor]

    def _is_old(self, old_s: float) -> bool:
        return self._clock_s() - self._read_at_s > max(old_s, self._took_s * _SHARE)

    def _is_missing(self, pending: Pending) -> bool:
        if pending.position is None:
            return self._clock_s() - pending.at_s < _LOST_S
        return pending.position.offset >= self._known.positions.get(pending.position.partition, 0)
