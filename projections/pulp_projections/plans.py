"""Query plans for statements that find few rows by key, in tables with misleading statistics.

The statistics of a queue are nearly always from when it was empty, so reading the whole table seems to cost nothing.
"""

import asyncio
from typing import Final

from psycopg import AsyncConnection

BY_KEYS: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""The settings of such a connection. Planning a statement takes several times as long as running it, so plans are
kept."""
ONLY_BY_KEYS: Final = {**BY_KEYS, "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""For connections whose statements all find rows by a key, or the first few in the order of an index."""
_KEPT_S: Final = 2.0
"""A plan that was made while a table was empty may read all of it once it is full."""


class KeptPlans:
    """The plans of one connection."""

    def __init__(self) -> None:
        self._kept_until_s = 0.0

    async def renew(self, connection: AsyncConnection) -> None:
        """Discard the plans, unless they are new. Raises `psycopg.Error`."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._kept_until_s:
            await connection.execute("discard plans")
            self._kept_until_s = now_s + _KEPT_S
