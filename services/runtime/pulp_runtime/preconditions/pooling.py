"""Whether a pooler before Postgres lends a connection to others between transactions: ours must stay ours."""

import asyncio
from typing import Final

import psycopg
from psycopg import AsyncConnection
from pulp_events.findings import Finding, Severity
from pulp_projections.connection import connect

_LIMIT_S: Final = 2.0
_ROUNDS: Final = 10
"""How often two clients compare their connections: others may hold, at that moment, the one that both would get."""
_PAUSE_S: Final = 0.01


async def look(connection: AsyncConnection, conninfo: str) -> list[Finding]:
    """What is wrong with a pooler. `connection` was made with `conninfo` and is idle. Raises `psycopg.Error`.

    It opens a second connection only where a pooler is in between.
    """
    server = await _server_of(connection)
    if server == connection.info.backend_pid:  # a pooler reports another process id to its clients
        return []
    try:
        async with asyncio.timeout(_LIMIT_S), await connect(conninfo, "pulp-preconditions") as another:
            if not await _is_lent(connection, another, server):
                return []
    except (psycopg.Error, TimeoutError):  # it has no other connection, so the first one is not lent
        return []
    return [
        Finding(
            "database-pooler",
            "Postgres",
            Severity.FAULT,
            "a pooler lends the connections of this process to others between its transactions",
            "notifications, locks and settings of a session get lost, or reach another process",
            "in PgBouncer: pool_mode = session for this database; or name Postgres itself in PULP_POSTGRES",
        )
    ]


async def _is_lent(connection: AsyncConnection, another: AsyncConnection, server: int) -> bool:
    """Whether one of these clients of a pooler ever gets a connection to Postgres that is not its own."""
    others = await _server_of(another)
    for _ in range(_ROUNDS):
        found = await _server_of(connection), await _server_of(another)
        if server == others or found != (server, others):
            return True
        await asyncio.sleep(_PAUSE_S)
    return False


async def _server_of(connection: AsyncConnection) -> int:
    [(process,)] = await (await connection.execute("select pg_backend_pid()")).fetchall()
    return int(process)
