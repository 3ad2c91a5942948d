"""Roles of single users on single tasks, beside those of the author."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_projections.sql import load

_SQL: Final = load("pulp_accounts", "task_roles.sql")


class TaskRole(StrEnum):
    """What a user may do with one task: viewers read it, owners also cancel it and give roles on it."""

    OWNER = "owner"
    VIEWER = "viewer"


class Given(NamedTuple):
    """A role on a task that a user was given."""

    user: str
    role: TaskRole


async def given(connection: AsyncConnection, task_id: UUID) -> list[Given]:
    """The roles on a task, by role and user."""
    rows = await (await connection.execute(_SQL["given"], {"task_id": task_id})).fetchall()
    return [Given(user, TaskRole(role)) for user, role in rows]


async def of_user(connection: AsyncConnection, task_id: UUID, user: str) -> set[TaskRole]:
    """The roles of a user on a task."""
    rows = await (await connection.execute(_SQL["of_user"], {"task_id": task_id, "user": user})).fetchall()
    return {TaskRole(role) for (role,) in rows}


async def unknown_users(connection: AsyncConnection, names: Sequence[str]) -> list[str]:
    """Those of the names that no user has."""
    rows = await (await connection.execute(_SQL["unknown_users"], {"names": list(names)})).fetchall()
    return [name for (name,) in rows]


async def add(connection: AsyncConnection, task_id: UUID, role: TaskRole, users: Sequence[str]) -> list[str]:
    """Give users a role on a task; those who did not have it."""
    row = {"task_id": task_id, "role": role, "users": list(users)}
    return [name for (name,) in await (await connection.execute(_SQL["add"], row)).fetchall()]


async def remove(connection: AsyncConnection, task_id: UUID, role: TaskRole, users: Sequence[str]) -> list[str]:
    """Take a role on a task away from users; those who had it."""
    row = {"task_id": task_id, "role": role, "users": list(users)}
    return [name for (name,) in await (await connection.execute(_SQL["remove"], row)).fetchall()]
