"""Reading current and former users for other users, without anything about passwords."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL
from pulp_projections.reading.queries import Condition, parameters_of
from pulp_projections.sql import load

from pulp_accounts.users import Role

_SQL: Final = load("pulp_accounts", "directory.sql")


class ListedUser(NamedTuple):
    """A user. For a removed user, only the name is known."""

    name: str
    role: Role | None
    created_at: datetime | None
    is_active: bool
    """False for a removed user."""


class UserPage(NamedTuple):
    """One page of users, and how many match in total."""

    rows: list[ListedUser]
    total: int


class RolePage(NamedTuple):
    """One page of roles, and how many match in total."""

    rows: list[Role]
    total: int


async def user_page(
    connection: AsyncConnection, conditions: Sequence[Condition], *, order: LiteralString, limit: int, offset: int
) -> UserPage:
    """The users `u` that meet every condition; those who were removed are left out."""
    rows, total = await _page(connection, "page", "count", conditions, order, limit, offset)
    return UserPage([_listed(*row) for row in rows], total)


async def role_page(
    connection: AsyncConnection, conditions: Sequence[Condition], *, order: LiteralString, limit: int, offset: int
) -> RolePage:
    """The roles `g` (`name`, `id`) that meet every condition."""
    rows, total = await _page(connection, "role_page", "role_count", conditions, order, limit, offset)
    return RolePage([Role(name) for (name,) in rows], total)


async def user_named(connection: AsyncConnection, name: str) -> ListedUser | None:
    """The user with exactly this name, also one who was removed; None if there never was one."""
    row = await (await connection.execute(_SQL["found"], {"name": name})).fetchone()
    return None if row is None else _listed(*row)


async def _page(
    connection: AsyncConnection,
    page: str,
    count: str,
    conditions: Sequence[Condition],
    order: LiteralString,
    limit: int,
    offset: int,
) -> tuple[list[tuple[Any, ...]], int]:
    where = SQL(" and ").join([SQL(condition.sql) for condition in conditions] or [SQL("true")])
    values = {**parameters_of(conditions), "roles": list(Role), "limit": limit, "skip": offset}
    cursor = await connection.execute(SQL(_SQL[page]).format(where=where, order=SQL(order)), values)
    rows = await cursor.fetchall()
    cursor = await connection.execute(SQL(_SQL[count]).format(where=where), values)
    [(total,)] = await cursor.fetchall()
    return rows, total


def _listed(name: str, role: str | None, created_at: datetime | None, is_active: bool) -> ListedUser:
    return ListedUser(name, None if role is None else Role(role), created_at, is_active)
