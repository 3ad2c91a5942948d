"""Connections of the processor to Postgres."""

from typing import Any, Final

from psycopg import AsyncConnection

_KEEP_ALIVE: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}


async def connect(conninfo: str, application_name: str) -> AsyncConnection:
    """A connection in autocommit that breaks within half a minute when the other machine is gone without a word.

    Raises `psycopg.OperationalError`.
    """
    return await AsyncConnection.connect(conninfo, autocommit=True, application_name=application_name, **_KEEP_ALIVE)
