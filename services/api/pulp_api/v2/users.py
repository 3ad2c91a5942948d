"""Users and roles in the v2 dialect, to read: `pulp-tasks users` changes them."""

from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Response
from pulp_accounts import users
from pulp_accounts.users import Role, User
from pulp_events.ids import derived_id

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.errors import NoSuch
from pulp_api.respond import json
from pulp_api.v2.dialect import ROOT
from pulp_api.v2.report import oid_of

router = APIRouter(prefix=ROOT)
SUPER_USERS: Final = "super-users"
"""Pulp 2's name for the role that may do everything."""
_ROLES: Final = {SUPER_USERS if role is Role.ADMIN else role.value: role for role in Role}


@router.get("/users/")
async def list_users(call: Authenticated) -> Response:
    """All users, for administrators; others see themselves."""
    return json([_user(user) for user in await _visible(call)])


@router.get("/users/{login}/")
async def read_user(call: Authenticated, login: str) -> Response:
    """One user."""
    found = [user for user in await _visible(call) if user.name == login]
    if not found:
        raise NoSuch("login", login)
    return json(_user(found[0]))


@router.get("/roles/")
async def list_roles(call: Authenticated) -> Response:
    """The roles, with their users."""
    visible = await _visible(call)
    return json([_role(name, visible) for name in _ROLES])


@router.get("/roles/{role_id}/")
async def read_role(call: Authenticated, role_id: str) -> Response:
    """One role."""
    if role_id not in _ROLES:
        raise NoSuch("role", role_id)
    return json(_role(role_id, await _visible(call)))


async def _visible(call: AuthenticatedCall) -> list[User]:
    async with call.service.connection() as connection:
        found = await users.list_users(connection)
    is_admin = call.principal.role is Role.ADMIN
    return [user for user in found if is_admin or user.name == call.principal.name]


def _user(user: User) -> dict[str, Any]:
    oid = oid_of(derived_id("user", user.name))
    return {
        "_href": f"{ROOT}/users/{quote(user.name, safe='')}/",
        "_id": {"$oid": oid},
        "_ns": "users",
        "id": oid,
        "login": user.name,
        "name": user.name,
        "roles": [_name(user.role)],
    }


def _role(name: str, visible: list[User]) -> dict[str, Any]:
    oid = oid_of(derived_id("role", name))
    return {
        "_href": f"{ROOT}/roles/{name}/",
        "_id": {"$oid": oid},
        "_ns": "roles",
        "id": name,
        "display_name": name,
        "description": None,
        "permissions": {},
        "users": [user.name for user in visible if _name(user.role) == name],
    }


def _name(role: Role) -> str:
    return next(name for name, each in _ROLES.items() if each is role)
