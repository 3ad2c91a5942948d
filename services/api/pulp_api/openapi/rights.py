"""The OpenAPI schemas of logins, tokens, subjects, and the roles on tasks and schedules."""

from typing import Any, Final

from pulp_accounts.object_roles import ObjectKind, ObjectRole
from pulp_accounts.users import Role

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.v3.login import LoginResponse
from pulp_api.v3.object_roles import MOST_USERS, NestedRoleResponse, PermissionsResponse, RolesResponse, role_name
from pulp_api.v3.parameters import LIST, or_null
from pulp_api.v3.subjects import MAX_NAME, MAX_REASON, SubjectResponse
from pulp_api.v3.subjects import PARAMETERS as SUBJECT_PARAMETERS
from pulp_api.v3.tokens import LONGEST, TokenResponse
from pulp_api.v3.tokens import PARAMETERS as TOKEN_PARAMETERS

_ROLE: Final = {"type": "string", "enum": [role.value for role in Role]}
_NEW: Final = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "role": {**or_null(_ROLE), "description": "At most the caller's role, which is the default."},
        "expires_in_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": int(LONGEST.total_seconds()),
            "default": 2_592_000,
        },
    },
}

_FIND: Final = {
    "type": "object",
    "required": ["subject"],
    "additionalProperties": False,
    "properties": {
        "subject": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_NAME,
            "description": "The person's name, as the tasks have it.",
        }
    },
}
_ERASE: Final = {
    "type": "object",
    "required": ["reason"],
    "additionalProperties": False,
    "properties": {
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_REASON,
            "description": "The reason, without the person's name: the audit keeps it for ever.",
        }
    },
}


def _roles(calls: str, href: str, kind: ObjectKind) -> dict[str, Any]:
    """The calls about the roles on objects of a kind; `calls` begins their operationIds."""
    nested = {
        "type": "object",
        "required": ["role", "users"],
        "properties": {
            "users": {**LIST, "minItems": 1, "maxItems": MOST_USERS, "uniqueItems": True},
            "groups": {**LIST, "maxItems": 0, "description": "Must be empty: only users have roles on single objects."},
            "role": {"type": "string", "enum": [role_name(kind, role) for role in ObjectRole]},
        },
    }
    given = answer(NestedRoleResponse)
    return {
        f"{{{href}}}list_roles/": {
            "get": call(f"{calls}_list_roles", href=href, schema=answer(RolesResponse), codes=(200, 403, 404))
        },
        **{
            f"{{{href}}}{name}/": {
                "post": call(f"{calls}_{name}", href=href, body=nested, schema=given, codes=(201, 400, 403, 404))
            }
            for name in ("add_role", "remove_role")
        },
        f"{{{href}}}my_permissions/": {
            "get": call(f"{calls}_my_permissions", href=href, schema=answer(PermissionsResponse), codes=(200, 404))
        },
    }


def paths(root: str) -> dict[str, Any]:
    """The calls, by path."""
    login, token, subject = answer(LoginResponse), answer(TokenResponse), answer(SubjectResponse)
    return {
        f"{root}/login/": {
            "get": call("login_read", schema=login),
            "post": call("login", schema=login, codes=(201, 403)),
            "delete": call("logout", codes=(204,)),
        },
        f"{root}/logout/": {"post": call("logout_create", codes=(204,))},
        f"{root}/tokens/": {
            "get": call("tokens_list", query=TOKEN_PARAMETERS, schema=page(token), codes=(200, 400, 403)),
            "post": call("tokens_create", body=_NEW, schema=token, codes=(201, 400, 403, 409)),
        },
        **_roles("tasks", "task_href", ObjectKind.TASK),
        **_roles("task_schedules", "task_schedule_href", ObjectKind.SCHEDULE),
        "{token_href}": {
            "get": call("tokens_read", href="token_href", schema=token, codes=(200, 404)),
            "delete": call("tokens_revoke", href="token_href", schema=token, codes=(200, 403, 404)),
        },
        f"{root}/subjects/": {
            "get": call(
                "subjects_list",
                query=SUBJECT_PARAMETERS,
                schema=page(subject),
                codes=(200, 400, 403),
            )
        },
        f"{root}/subjects/find/": {
            "post": call("subjects_find", body=_FIND, schema=page(subject), codes=(200, 400, 403))
        },
        "{subject_href}": {"get": call("subjects_read", href="subject_href", schema=subject, codes=(200, 403, 404))},
        "{subject_href}erase/": {
            "post": call("subjects_erase", href="subject_href", body=_ERASE, schema=subject, codes=(200, 400, 403, 404))
        },
    }
