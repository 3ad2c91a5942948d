"""Bearer tokens: opaque secrets with a name, a role and an end. Only their hashes are stored."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.errors import ForeignKeyViolation
from pulp_events.errors import BadInput, PulpError
from pulp_events.ids import new_id
from pulp_projections.sql import load

from pulp_accounts.users import Role, common_role

_SQL: Final = load("pulp_accounts", "tokens.sql")
PREFIX: Final = "pulp_"
"""The prefix of every token, by which people and secret scanners recognize one."""
_BYTES: Final = 32
MOST: Final = 100
"""The most tokens of a user that can still be used."""
_LONGEST_NAME: Final = 100


class TokenConflict(PulpError):
    """A new token is refused: the name is taken, or there are too many tokens."""


class BearerToken(NamedTuple):
    """A token, without its secret."""

    token_id: UUID
    user: str
    name: str
    role: Role
    """The most that it allows; the user's role limits it as well."""
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    """Accurate to about a minute."""
    revoked_at: datetime | None
    revoked_by: str | None
    is_valid: bool
    """Whether it is neither revoked nor expired."""


class TokenLogin(NamedTuple):
    """The server's record of a token that a caller sent."""

    token: BearerToken
    user_role: Role
    """The user's role now."""

    @property
    def role(self) -> Role:
        """The role that the caller has."""
        return common_role(self.token.role, self.user_role)

    @property
    def fault(self) -> str | None:
        """Why it is no longer valid; None while it is valid."""
        if self.token.revoked_at is not None:
            return "was revoked"
        return None if self.token.is_valid else "has expired"


def digest_of(secret: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


async def create(
    connection: AsyncConnection, user: str, name: str, role: Role, lifetime: timedelta
) -> tuple[BearerToken, str]:
    """Make a token for a user; it and its secret, which cannot be read again.

    Raises `TokenConflict` for a name that another valid token of the user has, and beyond `MOST` tokens; `BadInput` for
    an unusable name, and for a user who has been removed.
    """
    _check_name(name)
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    row = {"token_id": new_id(), "user": user, "name": name, "token_hash": digest_of(secret), "role": role}
    async with connection.transaction():
        await connection.execute(_SQL["forget_old"], {"user": user, "name": name})
        [(valid,)] = await (await connection.execute(_SQL["count"], {"user": user})).fetchall()
        if valid >= MOST:
            raise TokenConflict(f"user {user} has {valid} tokens, the most that are allowed: revoke one first")
        try:
            made = await connection.execute(_SQL["create"], {**row, "lifetime_s": lifetime.total_seconds()})
        except ForeignKeyViolation:
            raise BadInput(f"there is no user {user} any more") from None
        found = await made.fetchone()
    if found is None:
        raise TokenConflict(f"user {user} has a token named {name} already: revoke it, or take another name")
    return _token(found), secret


async def list_tokens(connection: AsyncConnection, user: str | None) -> list[BearerToken]:
    """The tokens of a user, or of all users, by user and time of creation; revoked ones for thirty days more."""
    return [_token(row) for row in await (await connection.execute(_SQL["list"], {"user": user})).fetchall()]


async def read(connection: AsyncConnection, token_id: UUID) -> BearerToken | None:
    """One token, or None."""
    row = await (await connection.execute(_SQL["read"], {"token_id": token_id})).fetchone()
    return None if row is None else _token(row)


async def revoke(connection: AsyncConnection, token_id: UUID, by: str) -> BearerToken | None:
    """Revoke a token and return it, or None if it does not exist. A token that is already revoked stays as it is."""
    row = await (await connection.execute(_SQL["revoke"], {"token_id": token_id, "by": by})).fetchone()
    return await read(connection, token_id) if row is None else _token(row)


async def digest_by_id(connection: AsyncConnection, token_id: UUID) -> bytes | None:
    """What is stored about a token; None if it does not exist."""
    row = await (await connection.execute(_SQL["digest"], {"token_id": token_id})).fetchone()
    return None if row is None else bytes(row[0])


async def login(connection: AsyncConnection, digest: bytes) -> TokenLogin | None:
    """The token with this digest, whether it still counts or not; None for an unknown one."""
    row = await (await connection.execute(_SQL["login"], {"token_hash": digest})).fetchone()
    return None if row is None else TokenLogin(_token(row[:-1]), Role(row[-1]))


async def note_use(connection: AsyncConnection, token_id: UUID) -> None:
    """Record that the token is used now."""
    await connection.execute(_SQL["note_use"], {"token_id": token_id})


def _check_name(name: str) -> None:
    if not name or name != name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise BadInput(
            f"the name of a token has 1 to {_LONGEST_NAME} printable characters, and no blank at its ends: {name!a}"
        )
    if name.startswith(PREFIX):
        raise BadInput("the name of a token cannot begin as tokens do: a secret must not be stored as a name")


def _token(row: tuple[Any, ...]) -> BearerToken:
    token = BearerToken._make(row)
    return token._replace(role=Role(token.role))
