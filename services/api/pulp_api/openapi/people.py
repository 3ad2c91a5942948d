"""The OpenAPI paths of users and groups. Pure."""

from typing import Any

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.v3.parameters import controls
from pulp_api.v3.users import ROLE_FILTERS, USER_FILTERS, GroupResponse, UserResponse


def paths(root: str) -> dict[str, Any]:
    """The calls by path."""
    user, group, fields = answer(UserResponse), answer(GroupResponse), controls("fields exclude_fields")
    return {
        f"{root}/users/": {
            "get": call("users_list", query=USER_FILTERS.parameters, schema=page(user), codes=(200, 400))
        },
        "{auth_user_href}": {
            "get": call("users_read", href="auth_user_href", query=fields, schema=user, codes=(200, 404))
        },
        f"{root}/groups/": {
            "get": call("groups_list", query=ROLE_FILTERS.parameters, schema=page(group), codes=(200, 400))
        },
        "{group_href}": {"get": call("groups_read", href="group_href", query=fields, schema=group, codes=(200, 404))},
        "{group_href}users/": {
            "get": call(
                "groups_users_list",
                href="group_href",
                query=USER_FILTERS.parameters,
                schema=page(user),
                codes=(200, 400, 404),
            )
        },
    }
