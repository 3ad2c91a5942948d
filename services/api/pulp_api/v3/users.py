"""Users, and the groups that their roles make, in the v3 dialect; they are only read here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, LiteralString, TypedDict
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_accounts.directory import ListedUser, role_page, user_named, user_page
from pulp_accounts.users import Role
from pulp_projections.reading.queries import Condition

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.respond import instant, json
from pulp_api.v3.answers import Time
from pulp_api.v3.asked import asked
from pulp_api.v3.declared_filters import NUMBERS, DeclaredFilters, column, flag
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.identity import named_identity
from pulp_api.v3.ordering import ALL_EQUAL, order_by, ordering
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import TEXT, QueryParameter, controls
from pulp_api.v3.picking import picker
from pulp_api.v3.references import Kind

router = APIRouter(prefix=ROOT)
_NAME_LOOKUPS: Final = "exact iexact in contains icontains"
_ORDERS: Final[Mapping[str, LiteralString]] = {
    **dict.fromkeys(("username", "id", "pk"), "u.name"),
    "date_joined": "u.created_at",
    "is_staff": "(u.role = 'admin')",
    **dict.fromkeys(("first_name", "last_name", "email", "is_active", "is_superuser", "last_login"), ALL_EQUAL),
}
USER_FILTERS: Final = DeclaredFilters(
    [*controls("limit offset fields exclude_fields"), ordering(_ORDERS), QueryParameter("q", TEXT)],
    column("username", "u.name", _NAME_LOOKUPS),
    column("first_name", "''", _NAME_LOOKUPS),
    column("last_name", "''", _NAME_LOOKUPS),
    column("email", "''", _NAME_LOOKUPS),
    flag("is_active", "true"),
    flag("is_staff", "(u.role = 'admin')"),
    named_identity(Kind.USER, "u.name"),
)
_ROLE_ORDERS: Final[Mapping[str, LiteralString]] = {"name": "g.name", "id": "g.id", "pk": "g.id"}
ROLE_FILTERS: Final = DeclaredFilters(
    [*controls("limit offset fields exclude_fields"), ordering(_ROLE_ORDERS), QueryParameter("q", TEXT)],
    column("name", "g.name", _NAME_LOOKUPS),
    column("id", "g.id", "exact in", NUMBERS),
    named_identity(Kind.ROLE_GROUP, "g.name"),
)


class UserGroupResponse(TypedDict):
    """A group of a user."""

    name: str
    pulp_href: str
    prn: str


class UserResponse(TypedDict):
    """A user. Administrators see all of it, others only of themselves; of somebody else they see the name."""

    pulp_href: str
    prn: str
    username: str
    first_name: str
    last_name: str
    email: str
    is_staff: Annotated[bool | None, Meta(description="Whether the user is an administrator.")]
    is_active: Annotated[bool, Meta(description="False for a removed user.")]
    date_joined: Time | None
    groups: list[UserGroupResponse]
    hidden_fields: list[Any]


class GroupResponse(TypedDict):
    """A group: all users who have the role of this name."""

    id: int
    pulp_href: str
    prn: str
    name: str


@router.get("/users/")
async def list_users(call: Authenticated, request: Request) -> Response:
    """A page of the users by name. Administrators see everybody, others themselves."""
    return await _list(call, request, [])


@router.get("/users/{username}/")
async def read_user(call: Authenticated, request: Request, username: str) -> Response:
    """One user, by name, also one who was removed, as tasks still name such users."""
    async with call.service.connection() as connection:
        found = await user_named(connection, username)
    if found is None:
        return json({"detail": "No User matches the given query."}, 404)
    return json(picker(request)(_shown(call, found)))


@router.get("/groups/")
async def list_groups(call: Authenticated, request: Request) -> Response:
    """The groups: one for each role."""
    conditions, order = asked(request.query_params, ROLE_FILTERS, _role_order_of)
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        page = await role_page(connection, conditions, order=order, limit=limit, offset=offset)
    picked = picker(request)
    return json(page_of(request, page.total, [picked(_group(role)) for role in page.rows]))


@router.get("/groups/{group_name}/")
async def read_group(call: Authenticated, request: Request, group_name: str) -> Response:
    """One group, by its name."""
    role = _role(group_name)
    return _no_group() if role is None else json(picker(request)(_group(role)))


@router.get("/groups/{group_name}/users/")
async def list_group_users(call: Authenticated, request: Request, group_name: str) -> Response:
    """A page of the users in a group, among those that `users/` lists."""
    role = _role(group_name)
    if role is None:
        return _no_group()
    return await _list(call, request, [Condition("u.role = %(role)s", {"role": role.value})])


async def _list(call: AuthenticatedCall, request: Request, conditions: list[Condition]) -> Response:
    filtering, order = asked(request.query_params, USER_FILTERS, _order_of)
    conditions = [*conditions, *filtering]
    if not _sees_all(call):
        conditions.append(Condition("u.name = %(own)s", {"own": call.principal.name}))
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        page = await user_page(connection, conditions, order=order, limit=limit, offset=offset)
    picked = picker(request)
    return json(page_of(request, page.total, [picked(_shown(call, user)) for user in page.rows]))


def _order_of(texts: Sequence[str]) -> LiteralString:
    return order_by(texts, _ORDERS, "u.name")


def _role_order_of(texts: Sequence[str]) -> LiteralString:
    return order_by(texts, _ROLE_ORDERS, "g.name")


def _sees_all(call: AuthenticatedCall) -> bool:
    return call.principal.role is Role.ADMIN


def _shown(call: AuthenticatedCall, user: ListedUser) -> UserResponse:
    name = quote(user.name, safe="")
    is_shown = _sees_all(call) or user.name == call.principal.name
    role = user.role if is_shown else None
    return {
        "pulp_href": Kind.USER.href(name),
        "prn": Kind.USER.prn(name),
        "username": user.name,
        "first_name": "",
        "last_name": "",
        "email": "",
        "is_staff": None if role is None else role is Role.ADMIN,
        "is_active": user.is_active,
        "date_joined": instant(user.created_at) if is_shown else None,
        "groups": [] if role is None else [_user_group(role)],
        "hidden_fields": [],
    }


def _user_group(role: Role) -> UserGroupResponse:
    return {"name": role.value, "pulp_href": Kind.ROLE_GROUP.href(role.value), "prn": Kind.ROLE_GROUP.prn(role.value)}


def _group(role: Role) -> GroupResponse:
    return {"id": list(Role).index(role) + 1, **_user_group(role)}


def _role(name: str) -> Role | None:
    return next((role for role in Role if role.value == name), None)


def _no_group() -> Response:
    return json({"detail": "No Group matches the given query."}, 404)
