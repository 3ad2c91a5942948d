"""Users: names, roles, and password hashes (scrypt, RFC 7914, with N = 2^14, r = 8, p = 1)."""

import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from pulp_events.errors import BadInput

from pulp_projections.sql import load

_LONGEST_NAME: Final = 200
_SQL: Final = load("pulp_projections", "users.sql")


class Role(StrEnum):
    """What a user may do: viewers read, operators cancel as well, submitters submit and cancel their own."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    SUBMITTER = "submitter"
    ADMIN = "admin"


class User(NamedTuple):
    """A user, without the password."""

    name: str
    role: Role
    created_at: datetime


def hash_password(password: str) -> str:
    """The hash that is kept, with a fresh salt."""
    salt = os.urandom(16)
    return f"scrypt${b64encode(salt).decode()}${b64encode(_derive(password, salt)).decode()}"


def matches(password: str, password_hash: str) -> bool:
    """Whether the password is the one that was hashed; takes the same time either way."""
    _, salt, key = password_hash.split("$")
    return hmac.compare_digest(_derive(password, b64decode(salt)), b64decode(key))


NOBODY: Final = "scrypt$AAAAAAAAAAAAAAAAAAAAAA==$" + b64encode(bytes(32)).decode()
"""The hash of no password: to check one against it costs what a real check costs."""


async def add_user(connection: AsyncConnection, name: str, password: str, role: Role) -> None:
    """Add a user. Raises `BadInput` for a name that is taken or cannot be used."""
    if not 0 < len(name) <= _LONGEST_NAME or ":" in name or not name.isprintable():
        raise BadInput(
            f"user name {name!r}: 1 to {_LONGEST_NAME} printable characters are expected, none of them a ':'"
        )
    row = {"name": name, "password_hash": hash_password(password), "role": role}
    cursor = await connection.execute(_SQL["add"], row)
    if await cursor.fetchone() is None:
        raise BadInput(f"user {name} exists already")


async def set_password(connection: AsyncConnection, name: str, password: str) -> None:
    """Replace a user's password. Raises `BadInput` for an unknown user."""
    cursor = await connection.execute(_SQL["set_password"], {"name": name, "password_hash": hash_password(password)})
    if await cursor.fetchone() is None:
        raise BadInput(f"there is no user {name}")


async def remove_user(connection: AsyncConnection, name: str) -> None:
    """Remove a user. Raises `BadInput` for an unknown user."""
    cursor = await connection.execute(_SQL["remove"], {"name": name})
    if await cursor.fetchone() is None:
        raise BadInput(f"there is no user {name}")


async def list_users(connection: AsyncConnection) -> list[User]:
    """All users by name."""
    cursor = await connection.execute(_SQL["list"])
    return [User(name, Role(role), created_at) for name, role, created_at in await cursor.fetchall()]


async def credentials(connection: AsyncConnection, name: str) -> tuple[str, Role] | None:
    """A user's password hash and role; None for an unknown user."""
    cursor = await connection.execute(_SQL["credentials"], {"name": name})
    row = await cursor.fetchone()
    return None if row is None else (row[0], Role(row[1]))


def _derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)
