"""The parts of Pulp 2 that this server does not have: 501 with the reason, after a login."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter, Response

from pulp_api.authenticated_call import Authenticated
from pulp_api.errors import NotServed
from pulp_api.v2.dialect import ROOT

router = APIRouter(prefix=ROOT)
METHODS: Final = ("GET", "POST", "PUT", "DELETE")
_CONTENT: Final = "content is managed by whole repositories here: sync and publish them"
_ORPHANS: Final = (
    "what is orphaned is found by the task that removes it, as a whole or by type; its result has the numbers"
)
_IN_REPOSITORY: Final = "/repositories/{repo_id}"
_SCHEDULES: Final = "schedules are not set by this dialect"
NOT_SERVED: Final = {
    "/actions/login/": (
        "this server issues no client certificates: give a user name and a password with each request"
        " (pulp-admin -u NAME -p PASSWORD)"
    ),
    "/consumers/{rest:path}": "this server manages no consumers",
    "/consumer_groups/{rest:path}": "this server manages no consumers",
    "/content/actions/delete_orphans/": _ORPHANS,
    "/content/orphans/{rest:path}": _ORPHANS,
    "/content/{rest:path}": _CONTENT,
    "/distributors/{rest:path}": "distributors are not searched: ask for the repository with details=true",
    "/events/{rest:path}": "there are no event listeners: follow the stream GET /pulp/api/v3/events/",
    "/permissions/{rest:path}": "rights go by the role of a user, which pulp-tasks users sets",
    "/plugins/{rest:path}": "there are no plugins: GET /pulp/api/v3/operations/ lists what tasks can do",
    "/queued_calls/{rest:path}": "waiting tasks are not stored apart: GET /pulp/api/v2/tasks/?state=waiting",
    "/repo_groups/{rest:path}": "there are no groups of repositories",
    _IN_REPOSITORY + "/importers/{part}/schedules/{rest:path}": _SCHEDULES,
    _IN_REPOSITORY + "/distributors/{part}/schedules/{rest:path}": _SCHEDULES,
    _IN_REPOSITORY + "/history/{rest:path}": "the history of a repository is that of its tasks: search them by its tag",
    _IN_REPOSITORY + "/search/units/": _CONTENT,
}
"""Path → why it is not served."""
_READ_ONLY: Final = "users are changed on the server, with pulp-tasks users"
_WRITES: Final = {
    "/users/": ("POST",),
    "/users/{login}/": ("PUT", "DELETE"),
    "/roles/": ("POST",),
    "/roles/{role_id}/": ("PUT", "DELETE"),
    "/roles/{role_id}/users/{rest:path}": METHODS,
}


def _refusing(reason: str) -> Callable[..., Awaitable[Response]]:
    async def not_served(call: Authenticated) -> Response:
        raise NotServed(f"Not implemented: {reason}.")

    not_served.__doc__ = f"501: {reason}."
    return not_served


for path, why in NOT_SERVED.items():
    router.add_api_route(path, _refusing(why), methods=list(METHODS), include_in_schema=False)
for path, methods in _WRITES.items():
    router.add_api_route(path, _refusing(_READ_ONLY), methods=list(methods), include_in_schema=False)
