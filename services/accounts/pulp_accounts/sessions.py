"""Sessions of browsers: which users are logged in, by hashes of the ids that their cookies hold."""

import hashlib
import secrets
from datetime import timedelta
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from pulp_projections.sql import load

from pulp_accounts.users import Role

_SQL: Final = load("pulp_accounts", "sessions.sql")
_BYTES: Final = 32
MOST: Final = 100
"""The most sessions of a user at once; the oldest ends for another one."""


class BrowserSession(NamedTuple):
    """A session that counts."""

    user: str
    role: Role
    """The user's role now."""


def digest_of(session_id: str) -> bytes:
    """What is stored of the id of a session."""
    return hashlib.sha256(session_id.encode(errors="surrogatepass")).digest()


async def begin(connection: AsyncConnection, user: str, lifetime: timedelta) -> str | None:
    """Begin a session of a user; returns its id, which is a secret. None if the user no longer exists."""
    session_id = secrets.token_urlsafe(_BYTES)
    row = {"user": user, "session_hash": digest_of(session_id), "lifetime_s": lifetime.total_seconds(), "most": MOST}
    async with connection.transaction():
        await connection.execute(_SQL["end_old"], row)
        made = await (await connection.execute(_SQL["begin"], row)).fetchone()
    return None if made is None else session_id


async def read(connection: AsyncConnection, digest: bytes) -> BrowserSession | None:
    """The session; None if it has ended, or if its user has another password since."""
    row = await (await connection.execute(_SQL["read"], {"session_hash": digest})).fetchone()
    return None if row is None else BrowserSession(row[0], Role(row[1]))


async def end(connection: AsyncConnection, digest: bytes) -> None:
    """End a session."""
    await connection.execute(_SQL["end"], {"session_hash": digest})
