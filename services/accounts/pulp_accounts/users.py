"""Users: names, roles, and password hashes."""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from pulp_events.errors import BadInput
from pulp_projections.sql import load

from pulp_accounts.passwords import USUAL, PasswordSettings, check_password, hash_password, is_outdated
from pulp_accounts.user_names import check_new_name, normal_name, objection_to

_SQL: Final = load("pulp_accounts", "users.sql")


class Role(StrEnum):
    """What a user may do: viewers read, operators cancel as well, submitters submit and cancel their own."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    SUBMITTER = "submitter"
    ADMIN = "admin"


class LastAdmin(BadInput):
    """The change would leave nobody who may do everything."""


class User(NamedTuple):
    """A user, without the password."""

    name: str
    role: Role
    created_at: datetime
    changed_at: datetime
    """Of the last change of password or role."""
    last_login_at: datetime | None
    """To the hour, about; None for one who has not signed in since that is kept."""
    has_old_hash: bool
    """Whether the password is hashed in the way of an earlier release; a login mends it."""

    @property
    def remark(self) -> str | None:
        """What is wrong with the name by today's rules; None for a good one."""
        return objection_to(self.name)


class Credentials(NamedTuple):
    """What a password is checked against."""

    name: str
    password_hash: str
    role: Role
    changed_at: datetime


async def add_user(
    connection: AsyncConnection, name: str, password: str, role: Role, settings: PasswordSettings = USUAL
) -> str:
    """Add a user; the name as it is kept. Raises `BadInput` for a name or a password that cannot be used."""
    check_password(password, name, settings)
    password_hash = hash_password(password, settings)
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        cursor = await connection.execute(_SQL["names"])
        kept = check_new_name(name, [row[0] for row in await cursor.fetchall()])
        await connection.execute(_SQL["add"], {"name": kept, "password_hash": password_hash, "role": role})
        if role is Role.ADMIN:
            await connection.execute(_SQL["note_first_admin"])
    return kept


async def add_first_admin(connection: AsyncConnection, name: str, password: str) -> bool:
    """Make the first administrator, unless there has ever been one; whether it was made."""
    password_hash = hash_password(password)
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        cursor = await connection.execute(_SQL["note_first_admin"])
        if await cursor.fetchone() is None:
            return False
        row = {"name": name, "password_hash": password_hash, "role": Role.ADMIN}
        return await (await connection.execute(_SQL["add"], row)).fetchone() is not None


async def reset_admin(connection: AsyncConnection, name: str, password: str) -> None:
    """Give the administrator this password and all rights; make the user if it is not there."""
    row = {"name": name, "password_hash": hash_password(password), "role": Role.ADMIN}
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        await connection.execute(_SQL["note_first_admin"])
        if await (await connection.execute(_SQL["add"], row)).fetchone() is None:
            await connection.execute(_SQL["set_password"], row)
            await connection.execute(_SQL["set_role"], row)


async def set_password(
    connection: AsyncConnection, name: str, password: str, settings: PasswordSettings = USUAL
) -> None:
    """Replace a user's password. Raises `BadInput` for an unknown user, and for a password that cannot be used."""
    check_password(password, name, settings)
    password_hash = hash_password(password, settings)
    kept = await _existing(connection, name)
    await connection.execute(_SQL["set_password"], {"name": kept.name, "password_hash": password_hash})


async def set_role(connection: AsyncConnection, name: str, role: Role, *, even_last_admin: bool = False) -> Role:
    """Give a user another role; the one before. Raises `BadInput` for an unknown user, `LastAdmin`."""
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        before = await _existing(connection, name)
        if role is not Role.ADMIN and not even_last_admin:
            await _keep_an_admin(connection, before)
        if role is not before.role:
            await connection.execute(_SQL["set_role"], {"name": before.name, "role": role})
    return before.role


async def remove_user(connection: AsyncConnection, name: str, *, even_last_admin: bool = False) -> None:
    """Remove a user. Raises `BadInput` for an unknown user, `LastAdmin`."""
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        kept = await _existing(connection, name)
        if not even_last_admin:
            await _keep_an_admin(connection, kept)
        await connection.execute(_SQL["remove"], {"name": kept.name})


async def list_users(connection: AsyncConnection) -> list[User]:
    """All users by name."""
    cursor = await connection.execute(_SQL["list"])
    return [
        User(name, Role(role), created_at, changed_at, last_login_at, is_outdated(password_hash))
        for name, role, created_at, changed_at, last_login_at, password_hash in await cursor.fetchall()
    ]


async def credentials(connection: AsyncConnection, name: str) -> Credentials | None:
    """Of the user with this very name, else of the one with its normal form; None for an unknown user."""
    found = {"first": name, "names": [name, normal_name(name)]}
    row = await (await connection.execute(_SQL["credentials"], found)).fetchone()
    return None if row is None else Credentials(row[0], row[1], Role(row[2]), row[3])


async def note_login(connection: AsyncConnection, name: str) -> None:
    """Keep that the user has signed in now."""
    await connection.execute(_SQL["note_login"], {"name": name})


async def rehash(connection: AsyncConnection, name: str, *, matched: str, password_hash: str) -> bool:
    """Put another hash of the same password in place of the one that was matched; whether that was still there."""
    row = {"name": name, "matched": matched, "password_hash": password_hash}
    return await (await connection.execute(_SQL["rehash"], row)).fetchone() is not None


async def _existing(connection: AsyncConnection, name: str) -> Credentials:
    found = await credentials(connection, name)
    if found is None:
        raise BadInput(f"there is no user {name}")
    return found


async def _keep_an_admin(connection: AsyncConnection, user: Credentials) -> None:
    if user.role is not Role.ADMIN:
        return
    row = await (await connection.execute(_SQL["other_admins"], {"name": user.name})).fetchone()
    if row is None or row[0] == 0:
        raise LastAdmin(f"{user.name} is the last administrator: nobody could manage anything afterwards")
