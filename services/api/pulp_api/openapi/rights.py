"""The OpenAPI schemas of logins, tokens, and the roles on tasks and schedules."""

from typing import Any, Final

from pulp_accounts.object_roles import ObjectKind, ObjectRole
from pulp_accounts.users import Role

from pulp_api.logins.auth import Method
from pulp_api.openapi.calls import call
from pulp_api.v3.object_roles import role_name
from pulp_api.v3.parameters import FLAG, LIST, NUMBER, TEXT, TIME, QueryParameter, controls
from pulp_api.v3.tokens import LONGEST

_ROLE: Final = {"type": "string", "enum": [role.value for role in Role]}
_MAYBE: Final = {**TIME, "nullable": True}
_TOKEN: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "pulp_href": TEXT,
        "id": {"type": "string", "format": "uuid"},
        "name": TEXT,
        "user": TEXT,
        "role": {**_ROLE, "description": "The most that it allows; the role that its user has limits it as well."},
        "pulp_created": TIME,
        "expires_at": TIME,
        "last_used_at": {**_MAYBE, "description": "To about a minute."},
        "revoked_at": _MAYBE,
        "revoked_by": {"type": "string", "nullable": True},
        "valid": {**FLAG, "description": "Whether it is neither revoked nor expired."},
        "token": {"type": "string", "description": "The token itself; only in the answer that creates it."},
    },
}
_NEW: Final = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "role": {**_ROLE, "nullable": True, "description": "At most that of the caller, which is the default."},
        "expires_in_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": int(LONGEST.total_seconds()),
            "default": 2_592_000,
        },
    },
}
_TOKENS: Final = {"type": "object", "properties": {"count": NUMBER, "results": {"type": "array", "items": _TOKEN}}}


_LOGIN: Final = {
    "type": "object",
    "properties": {
        "pulp_href": TEXT,
        "prn": TEXT,
        "username": TEXT,
        "role": _ROLE,
        "authenticated_by": {"type": "string", "enum": [method.value for method in Method]},
    },
}


def _roles(calls: str, href: str, kind: ObjectKind) -> dict[str, Any]:
    """The calls about the roles on objects of a kind; `calls` begins their operationIds."""
    nested = {
        "type": "object",
        "required": ["role"],
        "properties": {
            "users": LIST,
            "groups": LIST,
            "role": {"type": "string", "enum": [role_name(kind, role) for role in ObjectRole]},
        },
    }
    roles = {"type": "object", "properties": {"roles": {"type": "array", "items": nested}}}
    permissions = {"type": "object", "properties": {"permissions": LIST}}
    return {
        f"{{{href}}}list_roles/": {"get": call(f"{calls}_list_roles", href=href, schema=roles, codes=(200, 403, 404))},
        **{
            f"{{{href}}}{name}/": {
                "post": call(f"{calls}_{name}", href=href, body=nested, schema=nested, codes=(201, 400, 403, 404))
            }
            for name in ("add_role", "remove_role")
        },
        f"{{{href}}}my_permissions/": {
            "get": call(f"{calls}_my_permissions", href=href, schema=permissions, codes=(200, 404))
        },
    }


def paths(root: str) -> dict[str, Any]:
    """The calls, by path."""
    query = [QueryParameter("user", TEXT), QueryParameter("all", FLAG), *controls("limit offset")]
    return {
        f"{root}/login/": {
            "get": call("login_read", schema=_LOGIN),
            "post": call("login", schema=_LOGIN, codes=(201, 403)),
            "delete": call("logout", codes=(204,)),
        },
        f"{root}/logout/": {"post": call("logout_create", codes=(204,))},
        f"{root}/tokens/": {
            "get": call("tokens_list", query=query, schema=_TOKENS, codes=(200, 403)),
            "post": call("tokens_create", body=_NEW, schema=_TOKEN, codes=(201, 400, 403)),
        },
        **_roles("tasks", "task_href", ObjectKind.TASK),
        **_roles("task_schedules", "task_schedule_href", ObjectKind.SCHEDULE),
        "{token_href}": {
            "get": call("tokens_read", href="token_href", schema=_TOKEN, codes=(200, 404)),
            "delete": call("tokens_revoke", href="token_href", schema=_TOKEN, codes=(200, 403, 404)),
        },
    }
