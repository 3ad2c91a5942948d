"""The advisory locks of this database: their numbers, what each guards, and how a session takes one.

Nothing else in the database may use these numbers. The number of a lock on a name is a hash of the name.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from psycopg import AsyncConnection

from pulp_projections.sql import load

MIGRATIONS: Final = 7_857_012_240
"""One process at a time brings the tables up to date."""
GENERATIONS: Final = 7_857_012_242
"""One process at a time rebuilds, compares or switches generations of the read model."""

HELD_BY_SESSION: Final[Mapping[str, str]] = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
}
"""Settings of a connection that holds a lock: if the holder's machine dies, Postgres frees the lock within 15 s."""
_SQL: Final = load("pulp_projections", "locks.sql")
_PAUSE_S: Final = 0.2


async def number_of_processor(connection: AsyncConnection, instance: str) -> int:
    """The lock that keeps a processor's instance name to one process."""
    row = await (await connection.execute(_SQL["number_of_processor"], {"instance": instance})).fetchone()
    assert row is not None
    return int(row[0])


async def take(connection: AsyncConnection, number: int, patience_s: float) -> bool:
    """Take the lock for this session, and return whether that succeeded within `patience_s`.

    Postgres may need a moment to notice that the last holder was killed.
    """
    ends_s = time.monotonic() + patience_s
    while True:
        row = await (await connection.execute(_SQL["try"], {"number": number})).fetchone()
        if row is not None and row[0]:
            return True
        if time.monotonic() >= ends_s:
            return False
        await asyncio.sleep(_PAUSE_S)


async def take_until_commit(connection: AsyncConnection, number: int) -> None:
    """Wait for the lock and take it; the end of the connection's transaction frees it."""
    await connection.execute(_SQL["until_commit"], {"number": number})


async def holder(connection: AsyncConnection, number: int) -> str | None:
    """The process that holds the lock, and its host; None if nobody holds it."""
    row = await (await connection.execute(_SQL["holder"], {"number": number})).fetchone()
    return None if row is None else str(row[0])
