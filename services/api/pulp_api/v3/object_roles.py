"""Roles on single tasks and schedules, as in Pulp 3: `core.task_owner`, `core.taskschedule_viewer` and the like."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypedDict

from fastapi import APIRouter, Request, Response
from msgspec import Struct
from psycopg import AsyncConnection
from pulp_accounts import object_roles
from pulp_accounts.object_roles import ObjectKind, ObjectRole, Roled
from pulp_events.audit import What

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.bodies import BadBody, decoded
from pulp_api.respond import json
from pulp_api.task_rights import roled_schedule, roled_task
from pulp_api.v3.dialect import ROOT, FieldErrors
from pulp_api.v3.schedule_shapes import schedule_id_of
from pulp_api.v3.tasks import id_of

router = APIRouter(prefix=ROOT)
MOST_USERS: Final = 100
"""The most users that one request names."""


class _Way(NamedTuple):
    """One of the two ways to change roles."""

    change: Callable[[AsyncConnection, Roled, ObjectRole, Sequence[str]], Awaitable[list[str]]]
    """Returns the users for whom it changed anything."""
    others: str
    """What is said of a user for whom it did not."""
    what: Mapping[ObjectKind, What]


_ADDING: Final = _Way(
    object_roles.add,
    "The role is already assigned to this user: {}.",
    {ObjectKind.TASK: What.TASK_ROLE_ADDED, ObjectKind.SCHEDULE: What.SCHEDULE_ROLE_ADDED},
)
_REMOVING: Final = _Way(
    object_roles.remove,
    "The role is not assigned to this user: {}.",
    {ObjectKind.TASK: What.TASK_ROLE_REMOVED, ObjectKind.SCHEDULE: What.SCHEDULE_ROLE_REMOVED},
)
_MODELS: Final = {ObjectKind.TASK: "task", ObjectKind.SCHEDULE: "taskschedule"}
"""How Pulp 3's roles and permissions name a kind of objects."""


class RoleBody(Struct):
    """The body that gives a role or takes it away."""

    role: str
    users: list[str] = []
    groups: list[str] = []


class NestedRoleResponse(TypedDict):
    """A role on a task or schedule, and who has it."""

    role: str
    users: list[str]
    groups: list[str]


class RolesResponse(TypedDict):
    """The roles on a task or schedule."""

    roles: list[NestedRoleResponse]


class PermissionsResponse(TypedDict):
    """What the caller may do."""

    permissions: list[str]


def role_name(kind: ObjectKind, role: ObjectRole) -> str:
    """Pulp 3's name of a role."""
    return f"core.{_MODELS[kind]}_{role}"


@router.get("/tasks/{task_id}/list_roles/")
@router.get("/task-schedules/{schedule_id}/list_roles/")
async def list_roles(call: Authenticated, request: Request) -> Response:
    """The roles that users have on the task or schedule; its author owns it."""
    of = await _owned(call, request)
    async with call.service.connection() as connection:
        found = await object_roles.given(connection, of)
    author = of.created_by.removeprefix("user:")
    users: dict[ObjectRole, list[str]] = {ObjectRole.OWNER: [author]}
    for each in found:
        if (each.user, each.role) != (author, ObjectRole.OWNER):
            users.setdefault(each.role, []).append(each.user)
    roles: list[NestedRoleResponse] = [
        {"role": role_name(of.kind, role), "users": names, "groups": []} for role, names in sorted(users.items())
    ]
    return json(RolesResponse(roles=roles))


@router.post("/tasks/{task_id}/add_role/")
@router.post("/task-schedules/{schedule_id}/add_role/")
async def add_role(call: Authenticated, request: Request) -> Response:
    """Give users a role on the task or schedule."""
    call.need_submitter()
    return await _change(call, request, _ADDING)


@router.post("/tasks/{task_id}/remove_role/")
@router.post("/task-schedules/{schedule_id}/remove_role/")
async def remove_role(call: Authenticated, request: Request) -> Response:
    """Take a role on the task or schedule away from users. Its author stays its owner."""
    call.need_submitter()
    return await _change(call, request, _REMOVING)


@router.get("/tasks/{task_id}/my_permissions/")
async def my_permissions_on_task(call: Authenticated, task_id: str) -> Response:
    """What the caller may do with the task, in the words of Pulp 3."""
    task = (await call.read(id_of(task_id))).task
    rights, principal = call.task_rights, call.principal
    may = {
        "view": True,
        "change": await rights.may_cancel(principal, task),
        "delete": rights.may_purge(principal, task),
        "manage_roles": await rights.may_give_roles(principal, task),
    }
    permissions = ["core.view_task_profile_artifacts", *_permissions(ObjectKind.TASK, may)]
    return json(PermissionsResponse(permissions=sorted(permissions)))


@router.get("/task-schedules/{schedule_id}/my_permissions/")
async def my_permissions_on_schedule(call: Authenticated, schedule_id: str) -> Response:
    """What the caller may do with the schedule, in the words of Pulp 3."""
    schedule = await call.read_schedule(schedule_id_of(schedule_id))
    may_change = await call.task_rights.may_change_schedule(call.principal, schedule)
    may = {"view": True, **dict.fromkeys(("change", "delete", "manage_roles"), may_change)}
    return json(PermissionsResponse(permissions=sorted(_permissions(ObjectKind.SCHEDULE, may))))


def _permissions(kind: ObjectKind, may: dict[str, bool]) -> Iterator[str]:
    return (f"core.{action}_{_MODELS[kind]}" for action, is_allowed in may.items() if is_allowed)


async def _change(call: AuthenticatedCall, request: Request, way: _Way) -> Response:
    """Change the role of all users that the body names, or of none."""
    of = await _owned(call, request)
    body, role = _wanted(of.kind, await request.body())
    await call.quotas.action(call.asking)
    async with call.service.connection() as connection, connection.transaction():
        await _check_users(connection, body.users)
        changed = await way.change(connection, of, role, body.users)
        others = sorted(set(body.users) - set(changed))
        if others:
            raise FieldErrors({"users": [way.others.format(name) for name in others]})
    _note(call, way.what[of.kind], of, body)
    return json({"users": body.users, "groups": [], "role": body.role}, 201)


async def _owned(call: AuthenticatedCall, request: Request) -> Roled:
    """The object in the path. Raises what `read_own` and `read_own_schedule` raise."""
    found = request.path_params
    if "schedule_id" in found:
        return roled_schedule(await call.read_own_schedule(schedule_id_of(found["schedule_id"])))
    return roled_task(await call.read_own(id_of(found["task_id"])))


def _wanted(kind: ObjectKind, content: bytes) -> tuple[RoleBody, ObjectRole]:
    try:
        body = decoded(content, RoleBody, "the role")
    except BadBody as error:
        raise FieldErrors({error.misfit.path or "body": [error.misfit.sentence]}) from None
    role = {role_name(kind, role): role for role in ObjectRole}.get(body.role)
    if role is None:
        raise FieldErrors({"role": [f"Object with name={body.role} does not exist."]})
    if body.groups:
        raise FieldErrors({"groups": [f"Object with name={name} does not exist." for name in body.groups]})
    if not body.users or len(body.users) > MOST_USERS or len(set(body.users)) < len(body.users):
        raise FieldErrors({"users": [f"1 to {MOST_USERS} different names of users are expected."]})
    return body, role


async def _check_users(connection: AsyncConnection, names: Sequence[str]) -> None:
    unknown = await object_roles.unknown_users(connection, names)
    if unknown:
        raise FieldErrors({"users": [f"Object with username={name} does not exist." for name in unknown]})


def _note(call: AuthenticatedCall, what: What, of: Roled, body: RoleBody) -> None:
    call.request.app.state.audit.note_change(
        what,
        actor=call.principal.actor,
        address=call.asking.address,
        target=f"{of.kind}:{of.object_id}",
        detail=f"{body.role}: {', '.join(body.users)}",
        method=call.principal.method,
        correlation_id=call.caller.correlation_id,
    )
