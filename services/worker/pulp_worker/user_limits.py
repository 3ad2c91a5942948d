"""How many tasks of each user may run at once, for users that have such a limit."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from psycopg import AsyncConnection
from pulp_projections.quotas import DEFAULTS, quota_of
from pulp_projections.sql import load
from pulp_projections.users import Role

_SQL: Final = load("pulp_worker", "claims.sql")
_KNOWN_S: Final = 5.0


class UserLimits:
    """Reads the users again every few seconds: what was set for one counts so soon."""

    def __init__(self, by_role: Mapping[Role, str], clock_s: Callable[[], float] = time.monotonic) -> None:
        """`by_role` is what the settings say of roles."""
        self._by_role = by_role
        self._clock_s = clock_s
        self._ends_s = -_KNOWN_S
        self._limits: dict[str, int] = {}

    async def current(self, connection: AsyncConnection) -> Mapping[str, int]:
        """Actor (`user:NAME`) → tasks. Raises `psycopg.OperationalError`."""
        if self._ends_s > self._clock_s():
            return self._limits
        cursor = await connection.execute(_SQL["user_quotas"])
        found: dict[str, int] = {}
        for actor, word, own in await cursor.fetchall():
            role = Role(word)
            running = quota_of(DEFAULTS[role], self._by_role.get(role, ""), own).running
            if running is not None:
                found[actor] = running
        self._limits, self._ends_s = found, self._clock_s() + _KNOWN_S
        return found
