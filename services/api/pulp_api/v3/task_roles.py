"""Roles on single tasks, as in Pulp 3: `core.task_owner` and `core.task_viewer`."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Struct
from psycopg import AsyncConnection
from pulp_accounts import task_roles
from pulp_accounts.task_roles import TaskRole
from pulp_events.audit import What
from pulp_events.errors import TaskNotFound
from pulp_projections.reading.queries import TaskRow

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.respond import json
from pulp_api.v3.dialect import ROOT, FieldErrors

router = APIRouter(prefix=ROOT)
_NAMES: Final = {TaskRole.OWNER: "core.task_owner", TaskRole.VIEWER: "core.task_viewer"}
_ROLES: Final = {name: role for role, name in _NAMES.items()}
_MOST_USERS: Final = 100


class RoleBody(Struct):
    """The body that gives a role or takes it away."""

    role: str
    users: list[str] = []
    groups: list[str] = []


@router.get("/tasks/{task_id}/list_roles/")
async def list_roles(call: Authenticated, task_id: str) -> Response:
    """The roles that users have on the task; its author owns it."""
    task = await call.read_own(_uuid(task_id))
    async with call.service.connection() as connection:
        found = await task_roles.given(connection, task.task_id)
    author = task.created_by.removeprefix("user:")
    users: dict[TaskRole, list[str]] = {TaskRole.OWNER: [author]}
    for each in found:
        if (each.user, each.role) != (author, TaskRole.OWNER):
            users.setdefault(each.role, []).append(each.user)
    roles = [{"role": _NAMES[role], "users": names, "groups": []} for role, names in sorted(users.items())]
    return json({"roles": roles})


@router.post("/tasks/{task_id}/add_role/")
async def add_role(call: Authenticated, request: Request, task_id: str) -> Response:
    """Give users a role on the task."""
    task = await call.read_own(_uuid(task_id))
    body, role = _wanted(await request.body())
    await call.quotas.action(call.asking)
    async with call.service.connection() as connection, connection.transaction():
        await _check_users(connection, body.users)
        added = await task_roles.add(connection, task.task_id, role, body.users)
        had = sorted(set(body.users) - set(added))
        if had:
            raise FieldErrors({"users": [f"The role is already assigned to this user: {name}." for name in had]})
    _note(call, What.TASK_ROLE_ADDED, task, body)
    return _answer(body)


@router.post("/tasks/{task_id}/remove_role/")
async def remove_role(call: Authenticated, request: Request, task_id: str) -> Response:
    """Take a role on the task away from users. Its author stays its owner."""
    task = await call.read_own(_uuid(task_id))
    body, role = _wanted(await request.body())
    await call.quotas.action(call.asking)
    async with call.service.connection() as connection, connection.transaction():
        await _check_users(connection, body.users)
        removed = await task_roles.remove(connection, task.task_id, role, body.users)
        had_not = sorted(set(body.users) - set(removed))
        if had_not:
            raise FieldErrors({"users": [f"The role is not assigned to this user: {name}." for name in had_not]})
    _note(call, What.TASK_ROLE_REMOVED, task, body)
    return _answer(body)


@router.get("/tasks/{task_id}/my_permissions/")
async def my_permissions(call: Authenticated, task_id: str) -> Response:
    """What the caller may do with the task, in the words of Pulp 3."""
    task = (await call.read(_uuid(task_id))).task
    rights, principal = call.task_rights, call.principal
    found = ["core.view_task", "core.view_task_profile_artifacts"]
    if await rights.may_cancel(principal, task):
        found.append("core.change_task")
    if await rights.may_give_roles(principal, task):
        found.append("core.manage_roles_task")
    if rights.may_purge(principal, task):
        found.append("core.delete_task")
    return json({"permissions": sorted(found)})


def _wanted(content: bytes) -> tuple[RoleBody, TaskRole]:
    try:
        body = msgspec.json.decode(content, type=RoleBody)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        raise FieldErrors({path.strip("`$.") or "role": [message]}) from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise FieldErrors({"detail": [f"JSON parse error - {error}"]}) from None
    role = _ROLES.get(body.role)
    if role is None:
        raise FieldErrors({"role": [f"Object with name={body.role} does not exist."]})
    if body.groups:
        raise FieldErrors({"groups": [f"Object with name={name} does not exist." for name in body.groups]})
    if not body.users or len(body.users) > _MOST_USERS or len(set(body.users)) < len(body.users):
        raise FieldErrors({"users": [f"1 to {_MOST_USERS} different names of users are expected."]})
    return body, role


async def _check_users(connection: AsyncConnection, names: Sequence[str]) -> None:
    unknown = await task_roles.unknown_users(connection, names)
    if unknown:
        raise FieldErrors({"users": [f"Object with username={name} does not exist." for name in unknown]})


def _answer(body: RoleBody) -> Response:
    shape: dict[str, Any] = {"users": body.users, "groups": [], "role": body.role}
    return json(shape, 201)


def _note(call: AuthenticatedCall, what: What, task: TaskRow, body: RoleBody) -> None:
    call.request.app.state.audit.note_change(
        what,
        actor=call.principal.actor,
        address=call.asking.address,
        target=f"task:{task.task_id}",
        detail=f"{body.role}: {', '.join(body.users)}",
        method=call.principal.method,
        correlation_id=call.caller.correlation_id,
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise TaskNotFound(text) from None
