"""Searches with regular expressions, which may take long: how long each may take, and how many run at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled

from pulp_api.errors import BadProperty
from pulp_api.fairness.reading_turns import turn_of
from pulp_api.logins.auth import Connect

LIMIT_S = 5.0
"""How long one query may take."""
MOST_AT_ONCE: Final = 2
"""How many run at once in one process, so that they never take all of its connections to Postgres."""
WAIT_S = 10.0
"""How long a search waits for others to end."""


class PatternSearches:
    """Lets a few searches run at once."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for a search whose queries take at most `LIMIT_S` each.

        Raises `BadProperty` for one that takes longer, and `ReadModelUnavailable` if it is not its turn in time.
        """
        refusal = f"{MOST_AT_ONCE} searches with regular expressions run already: try again later"
        try:
            async with (
                turn_of(self._turns, WAIT_S, refusal),
                self._connect() as connection,
                connection.transaction(),
            ):
                await connection.execute(f"set local statement_timeout = {int(LIMIT_S * 1000)}")
                yield connection
        except QueryCanceled as error:
            message = (
                f"criteria.filters: the search took longer than {LIMIT_S:g} s. Make the regular expression simpler, or"
                " add filters that leave fewer items to look at"
            )
            raise BadProperty("filters", message) from error
