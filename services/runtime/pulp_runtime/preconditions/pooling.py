"""Whether a pooler before Postgres lends a connection to others between transactions: ours must stay ours."""

import asyncio
from typing import Final

import psycopg
from psycopg import AsyncConnection
from pulp_events.findings import Finding, Severity
from pulp_projections.connection import connect

_LIMIT_S: Final = 2.0


async def look(connection: AsyncConnection, conninfo: str) -> list[Finding]:
    """What is wrong with a pooler. `connection` was made with `conninfo` and is idle. Raises `psycopg.Error`.

    It opens a second connection only where a pooler is in between.
    """
    server = await _server_of(connection)
    if server == connection.info.backend_pid:  # a pooler reports another process id to its clients
        return []
    try:
        async with asyncio.timeout(_LIMIT_S), await connect(conninfo, "pulp-preconditions") as another:
            is_lent = await _server_of(another) == server
    except (psycopg.Error, TimeoutError):  # it has no other connection, so the first one is not lent
        return []
    if not is_lent:
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


async def _server_of(connection: AsyncConnection) -> int:
    [(process,)] = await (await connection.execute("select pg_backend_pid()")).fetchall()
    return int(process)
