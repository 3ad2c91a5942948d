"""Users: names, roles, and password hashes."""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from pulp_events.audit import What
from pulp_events.errors import BadInput
from pulp_projections.sql import load

from pulp_accounts.passwords import USUAL, PasswordSettings, check_password, hash_password, is_outdated
from pulp_accounts.user_names import check_new_name, normal_name, objection_to

_SQL: Final = load("pulp_accounts", "users.sql")
NO_PASSWORD: Final = "!"
"""In place of a hash: no password matches it. The user signs in by an issuer."""


class Role(StrEnum):
    """What a user may do: viewers read, operators also cancel, submitters submit and cancel their own tasks. Auditors
    read all tasks, and the audit.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    SUBMITTER = "submitter"
    AUDITOR = "auditor"
    ADMIN = "admin"


def common_role(one: Role, other: Role) -> Role:
    """The role that allows what both allow."""
    if Role.ADMIN in (one, other):
        return other if one is Role.ADMIN else one
    return one if one is other else Role.VIEWER


class LastAdmin(BadInput):
    """The change would leave no administrator."""


class User(NamedTuple):
    """A user, without the password."""

    name: str
    role: Role
    created_at: datetime
    changed_at: datetime
    """The time of the last change of password or role."""
    last_login_at: datetime | None
    """Accurate to about an hour; None if the user has not signed in since the release that records it."""
    has_old_hash: bool
    """Whether the password has a hash of an earlier release, which the next login replaces."""
    issuer: str | None = None
    """The issuer that vouches for the user, who has no password here; None for all others."""

    @property
    def remark(self) -> str | None:
        """What is wrong with the name by today's rules; None for a valid one."""
        return objection_to(self.name)


class Credentials(NamedTuple):
    """The stored data for checking a password."""

    name: str
    password_hash: str
    role: Role
    changed_at: datetime


async def add_user(
    connection: AsyncConnection, name: str, password: str, role: Role, settings: PasswordSettings = USUAL
) -> str:
    """Add a user, and return the name in its normal form. Raises `BadInput` for an unusable name or password."""
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
    """Create the first administrator, unless there has ever been one; whether it was created."""
    password_hash = hash_password(password)
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        cursor = await connection.execute(_SQL["note_first_admin"])
        if await cursor.fetchone() is None:
            return False
        row = {"name": name, "password_hash": password_hash, "role": Role.ADMIN}
        return await (await connection.execute(_SQL["add"], row)).fetchone() is not None


async def reset_admin(connection: AsyncConnection, name: str, password: str) -> None:
    """Give this user this password and the role admin; create the user if it does not exist."""
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
    """Replace a user's password. Raises `BadInput` for an unknown user or an unusable password."""
    check_password(password, name, settings)
    password_hash = hash_password(password, settings)
    kept = await _existing(connection, name)
    await _need_local(connection, kept.name)
    await connection.execute(_SQL["set_password"], {"name": kept.name, "password_hash": password_hash})


async def set_role(connection: AsyncConnection, name: str, role: Role, *, even_last_admin: bool = False) -> Role:
    """Give a user another role, and return the previous one. Raises `BadInput` for an unknown user, `LastAdmin`."""
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        before = await _existing(connection, name)
        await _need_local(connection, before.name)
        if role is not Role.ADMIN and not even_last_admin:
            await _keep_an_admin(connection, before)
        if role is not before.role:
            await connection.execute(_SQL["set_role"], {"name": before.name, "role": role})
    return before.role


async def remove_user(connection: AsyncConnection, name: str, *, even_last_admin: bool = False) -> str | None:
    """Remove a user. Raises `BadInput` for an unknown user, `LastAdmin`.

    Returns the issuer that vouches for the user: the user is added again with the next JWT. None for all others.
    """
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        kept = await _existing(connection, name)
        if not even_last_admin:
            await _keep_an_admin(connection, kept)
        row = await (await connection.execute(_SQL["issuer"], {"name": kept.name})).fetchone()
        await connection.execute(_SQL["remove"], {"name": kept.name})
    return None if row is None else row[0]


async def list_users(connection: AsyncConnection) -> list[User]:
    """All users by name."""
    cursor = await connection.execute(_SQL["list"])
    return [
        User(
            name,
            Role(role),
            created_at,
            changed_at,
            last_login_at,
            issuer is None and is_outdated(password_hash),
            issuer,
        )
        for name, role, created_at, changed_at, last_login_at, password_hash, issuer in await cursor.fetchall()
    ]


async def credentials(connection: AsyncConnection, name: str) -> Credentials | None:
    """Those of the user with exactly this name, or else with its normal form; None for an unknown user."""
    found = {"first": name, "names": [name, normal_name(name)]}
    row = await (await connection.execute(_SQL["credentials"], found)).fetchone()
    return None if row is None else Credentials(row[0], row[1], Role(row[2]), row[3])


async def issuer_of(connection: AsyncConnection, name: str) -> str | None:
    """The issuer that vouches for the user; None for a user with a password, and for an unknown one."""
    row = await (await connection.execute(_SQL["issuer"], {"name": name})).fetchone()
    return None if row is None else row[0]


async def vouch(
    connection: AsyncConnection, name: str, role: Role, issuer: str, *, is_login: bool = True
) -> What | None:
    """Note a user, with this role, for whom an issuer vouches: the user is added, or at a login the role changed.

    Returns which of the two was done; None if neither was needed.
    Raises `BadInput` for a name that a user of another kind has, or that looks like one.
    """
    row = await (await connection.execute(_SQL["issuer"], {"name": name})).fetchone()
    if row is not None and row[0] == issuer and (row[1] == role or not is_login):
        return None
    if row is None:
        others = await (await connection.execute(_SQL["names"])).fetchall()
        name = check_new_name(name, [other for (other,) in others])
    vouched = {"name": name, "role": role, "issuer": issuer}
    [(is_theirs,)] = await (await connection.execute(_SQL["vouch"], vouched)).fetchall()
    if not is_theirs:
        raise BadInput(f"the user {name} has a password here, or another issuer")
    return What.USER_ADDED if row is None else What.ROLE_CHANGED


async def note_login(connection: AsyncConnection, name: str) -> None:
    """Record that the user has signed in now."""
    await connection.execute(_SQL["note_login"], {"name": name})


async def rehash(connection: AsyncConnection, name: str, *, matched: str, password_hash: str) -> bool:
    """Replace the hash that was matched by another one of the same password; whether it was still the stored one."""
    row = {"name": name, "matched": matched, "password_hash": password_hash}
    return await (await connection.execute(_SQL["rehash"], row)).fetchone() is not None


async def _existing(connection: AsyncConnection, name: str) -> Credentials:
    found = await credentials(connection, name)
    if found is None:
        raise BadInput(f"there is no user {name}")
    return found


async def _need_local(connection: AsyncConnection, name: str) -> None:
    row = await (await connection.execute(_SQL["issuer"], {"name": name})).fetchone()
    if row is not None and row[0] is not None:
        raise BadInput(
            f"user {name} signs in by {row[0]}, which decides on the password and the role: change them there"
        )


async def _keep_an_admin(connection: AsyncConnection, user: Credentials) -> None:
    if user.role is not Role.ADMIN:
        return
    row = await (await connection.execute(_SQL["other_admins"], {"name": user.name})).fetchone()
    if row is None or row[0] == 0:
        raise LastAdmin(f"{user.name} is the last administrator: nobody could manage anything afterwards")
