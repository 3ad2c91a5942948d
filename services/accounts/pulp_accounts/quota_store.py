"""Quotas in Postgres: the quotas of single users, and how much users have used."""

from typing import Final, NamedTuple

from psycopg import AsyncConnection
from pulp_events.errors import BadInput
from pulp_projections.sql import load

from pulp_accounts.quotas import normal
from pulp_accounts.users import Role

_SQL: Final = load("pulp_accounts", "quota_store.sql")


class UserQuota(NamedTuple):
    """A user, and the quota set for this user alone; '' if none is set."""

    name: str
    role: Role
    quota: str


class Taken(NamedTuple):
    """The amount taken from a bucket, 0 if it held less than the minimum requested, and what is left in it."""

    granted: float
    left: float


class Unfinished(NamedTuple):
    """How many unfinished tasks each author has, at these positions of the read model."""

    positions: dict[int, int]
    """Partition → next offset."""
    tasks: dict[str, int]


async def overrides(connection: AsyncConnection) -> dict[str, str]:
    """User → the quota of this user alone."""
    return dict(await (await connection.execute(_SQL["overrides"])).fetchall())


async def list_quotas(connection: AsyncConnection) -> list[UserQuota]:
    """All users by name."""
    rows = await (await connection.execute(_SQL["list"])).fetchall()
    return [UserQuota(name, Role(role), quota) for name, role, quota in rows]


async def set_quota(connection: AsyncConnection, name: str, text: str) -> str:
    """Set some keys of a user's own quota, keep the others, and return all of it. Raises `BadInput`."""
    row = await (await connection.execute(_SQL["of"], {"name": name})).fetchone()
    if row is None:
        raise BadInput(f"there is no user {name}")
    new = {word.partition("=")[0]: word for word in (*row[0].split(), *normal(text).split())}
    quota = normal(" ".join(new.values()))
    if not quota:
        raise BadInput("no quota is given, such as rate=20/s")
    await connection.execute(_SQL["set"], {"name": name, "quota": quota})
    return quota


async def clear_quota(connection: AsyncConnection, name: str) -> None:
    """Remove a user's own quota, so that the role's applies. Raises `BadInput` for an unknown user."""
    if await (await connection.execute(_SQL["of"], {"name": name})).fetchone() is None:
        raise BadInput(f"there is no user {name}")
    await connection.execute(_SQL["clear"], {"name": name})


async def take(
    connection: AsyncConnection, name: str, bucket: str, *, rate: float, burst: float, least: float, most: float
) -> Taken:
    """Take up to `most` from a user's bucket, or nothing if it holds less than `least`."""
    values = {"name": name, "bucket": bucket, "rate": rate, "burst": burst, "least": least, "most": most}
    row = await (await connection.execute(_SQL["take"], values)).fetchone()
    assert row is not None
    return Taken(*row)


async def unfinished(connection: AsyncConnection) -> Unfinished:
    """Count the unfinished tasks of each author. Takes some milliseconds for ten thousand tasks."""
    row = await (await connection.execute(_SQL["unfinished"])).fetchone()
    assert row is not None
    return Unfinished({int(partition): offset for partition, offset in (row[0] or {}).items()}, row[1] or {})
