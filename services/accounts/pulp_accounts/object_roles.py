"""Roles of single users on single tasks and schedules, besides the author's."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_projections.sql import load


class ObjectKind(StrEnum):
    """The kind of object that a role is on."""

    TASK = "task"
    SCHEDULE = "schedule"


class ObjectRole(StrEnum):
    """What a user may do with one object: viewers read it, owners also change it and give roles on it."""

    OWNER = "owner"
    VIEWER = "viewer"


class Roled(NamedTuple):
    """An object on which users have roles."""

    kind: ObjectKind
    object_id: UUID
    created_by: str
    """Its author, as events name users, who owns it for ever."""


class Given(NamedTuple):
    """A role on an object that a user was given."""

    user: str
    role: ObjectRole


def _statements(table: LiteralString, column: LiteralString) -> Mapping[str, LiteralString]:
    return load("pulp_accounts", "object_roles.sql", {"table": table, "id": column})


_SQL: Final = {
    ObjectKind.TASK: _statements("task_roles", "task_id"),
    ObjectKind.SCHEDULE: _statements("schedule_roles", "schedule_id"),
}


async def given(connection: AsyncConnection, of: Roled) -> list[Given]:
    """The roles on an object, by role and user."""
    rows = await (await connection.execute(_SQL[of.kind]["given"], {"object_id": of.object_id})).fetchall()
    return [Given(user, ObjectRole(role)) for user, role in rows]


async def of_user(connection: AsyncConnection, of: Roled, user: str) -> set[ObjectRole]:
    """The roles of a user on an object."""
    values = {"object_id": of.object_id, "user": user}
    rows = await (await connection.execute(_SQL[of.kind]["of_user"], values)).fetchall()
    return {ObjectRole(role) for (role,) in rows}


async def unknown_users(connection: AsyncConnection, names: Sequence[str]) -> list[str]:
    """The names among these that no user has."""
    statement = _SQL[ObjectKind.TASK]["unknown_users"]
    return [name for (name,) in await (await connection.execute(statement, {"names": list(names)})).fetchall()]


async def add(connection: AsyncConnection, of: Roled, role: ObjectRole, users: Sequence[str]) -> list[str]:
    """Give users a role on an object; returns those who did not have it."""
    return await _change(connection, "add", of, role, users)


async def remove(connection: AsyncConnection, of: Roled, role: ObjectRole, users: Sequence[str]) -> list[str]:
    """Remove a role on an object from users; returns those who had it."""
    return await _change(connection, "remove", of, role, users)


async def _change(
    connection: AsyncConnection, name: str, of: Roled, role: ObjectRole, users: Sequence[str]
) -> list[str]:
    values = {"object_id": of.object_id, "role": role, "users": list(users)}
    return [user for (user,) in await (await connection.execute(_SQL[of.kind][name], values)).fetchall()]
