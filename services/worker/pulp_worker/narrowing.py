"""What claims have to leave out now: tasks that nobody can run, and those of users who may not run more."""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from pulp_accounts.quotas import DEFAULTS, quota_of
from pulp_accounts.users import Role
from pulp_projections.sql import load

_SQL: Final = load("pulp_worker", "claims.sql")
_KNOWN_S: Final = 5.0
_SHARE: Final = 50
"""Looking takes at most one part in so many of the time."""


class Narrowed(NamedTuple):
    """What was found."""

    limits: Mapping[str, int]
    """Actor (`user:NAME`) → tasks that may run at once, of users who have a limit."""
    has_unserved: bool
    """Something waits that nobody could run for a while."""

    @property
    def is_needed(self) -> bool:
        """Claims have to leave something out; mostly not, and then they cost less."""
        return bool(self.limits) or self.has_unserved


class Narrowing:
    """Looks again every few seconds."""

    def __init__(
        self, by_role: Mapping[Role, str], unserved_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`by_role` is what the settings say of the quotas of roles."""
        self._by_role = by_role
        self._unserved_s = unserved_s
        self._clock_s = clock_s
        self._known = Narrowed({}, False)
        self._ends_s = clock_s()

    async def current(self, connection: AsyncConnection) -> Narrowed:
        """Raises `psycopg.OperationalError`."""
        begun_s = self._clock_s()
        if self._ends_s > begun_s:
            return self._known
        limits: dict[str, int] = {}
        for actor, word, own in await (await connection.execute(_SQL["user_quotas"])).fetchall():
            role = Role(word)
            running = quota_of(DEFAULTS[role], self._by_role.get(role, ""), own).running
            if running is not None:
                limits[actor] = running
        cursor = await connection.execute(_SQL["has_unserved"], {"unserved_s": self._unserved_s})
        [(has_unserved,)] = await cursor.fetchall()
        self._known = Narrowed(limits, bool(has_unserved))
        ended_s = self._clock_s()
        self._ends_s = ended_s + max(_KNOWN_S, (ended_s - begun_s) * _SHARE)
        return self._known
