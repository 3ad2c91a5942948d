"""Rights of users: HTTP basic authentication, the five roles, and the user in events."""

from base64 import b64encode
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pulp_accounts import users
from pulp_accounts.users import Role
from pulp_api.app import routes as every_route
from pulp_api.auditing.audit import Audit
from pulp_api.authenticated_call import authenticated_call
from pulp_api.logins.authenticator import Authenticator
from pulp_api.logins.basic import Unauthenticated
from starlette.requests import Request

from tests.support.events import accepted
from tests.support.site import PASSWORD, V2, V3, Site

OPEN = {
    **{f"{V3}/{path}": 200 for path in ("", "status/", "livez/", "readyz/", "docs/", "docs/api.json", "docs/api.yaml")},
    **{f"{V3}/docs/{path}": 200 for path in ("asyncapi.json", "events/")},
    f"{V3}/docs/schemas/{{name}}.json": 404,
    **{
        "/": 200,
        f"{V2}/": 200,
        f"{V2}/status/": 200,
        "/docs": 302,
        "/docs/": 302,
        "/redoc": 302,
        "/favicon.ico": 204,
        "/metrics": 404,
        "/ui": 302,
        "/ui/{path:path}": 200,
    },
}
"""What needs no user, and how it is answered."""
CHALLENGE = 'Basic realm="api", charset="UTF-8"'
ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
LETTER_ACTIONS = ("retry", "discard")
SUBSCRIPTION_ACTIONS = ("pause", "resume", "redeliver", "rotate-secret", "test")
PARTS = {
    "group_id": ID,
    **{"task_id": ID, "worker_id": ID, "token_id": ID, "name": "sync", "repo_id": "zoo", "action": "sync"},
    **{
        "repository_id": ID,
        "number": "1",
        "schedule_id": ID,
        "subscription_id": ID,
        "content_type": "rpm",
        "login": "jo",
    },
    "role_id": "viewer",
    "key_id": ID,
    "position": "0:1042",
    **{"importer_id": "yum_importer", "distributor_id": "yum_distributor", "part": "x", "rest": "y"},
    **{"username": "jo", "group_name": "viewer", "path": ""},
}
"""The value for each part of a path."""
NOT_SERVED = [
    *(
        (method, f"{V2}/{path}")
        for method in ("GET", "POST", "PUT", "DELETE")
        for path in (
            *("actions/login/", "consumers/y", "consumer_groups/y", "content/y", "distributors/y", "events/y"),
            *("content/actions/delete_orphans/", "content/orphans/y"),
            *("permissions/y", "plugins/y", "queued_calls/y", "repo_groups/y", "repositories/zoo/history/y"),
            *("repositories/zoo/importers/x/schedules/y", "repositories/zoo/distributors/x/schedules/y"),
            *("repositories/zoo/search/units/", "roles/viewer/users/y"),
        )
    ),
    *(("POST", f"{V2}/{path}/") for path in ("users", "roles")),
    *((method, f"{V2}/{path}/") for method in ("PUT", "DELETE") for path in ("users/jo", "roles/viewer")),
]
"""Parts of Pulp 2 that are not there: each says so to whoever has signed in."""
PROTECTED = [
    ("GET", f"{V2}/tasks/"),
    ("DELETE", f"{V2}/tasks/"),
    ("POST", f"{V2}/tasks/search/"),
    ("GET", f"{V2}/tasks/search/"),
    ("GET", f"{V2}/task_groups/"),
    ("GET", f"{V2}/task_groups/{ID}/"),
    ("GET", f"{V2}/tasks/{ID}/"),
    ("DELETE", f"{V2}/tasks/{ID}/"),
    ("DELETE", f"{V2}/content/orphans/"),
    ("DELETE", f"{V2}/content/orphans/rpm/"),
    ("GET", f"{V2}/plugins/types/"),
    ("GET", f"{V2}/plugins/types/rpm/"),
    ("DELETE", f"{V2}/task_groups/{ID}/"),
    ("GET", f"{V2}/task_groups/{ID}/state_summary/"),
    ("GET", f"{V2}/users/"),
    ("GET", f"{V2}/users/jo/"),
    ("GET", f"{V2}/roles/"),
    ("GET", f"{V2}/roles/viewer/"),
    ("GET", f"{V2}/repositories/search/"),
    ("POST", f"{V2}/repositories/search/"),
    ("GET", f"{V2}/repositories/zoo/importers/yum_importer/"),
    ("GET", f"{V2}/repositories/zoo/distributors/yum_distributor/"),
    *NOT_SERVED,
    ("POST", f"{V2}/repositories/zoo/actions/sync/"),
    ("POST", f"{V2}/repositories/zoo/actions//sync/"),
    ("GET", f"{V2}/repositories/"),
    ("POST", f"{V2}/repositories/"),
    ("GET", f"{V2}/repositories/zoo/"),
    ("PUT", f"{V2}/repositories/zoo/"),
    ("DELETE", f"{V2}/repositories/zoo/"),
    ("GET", f"{V2}/repositories/zoo/importers/"),
    ("GET", f"{V2}/repositories/zoo/distributors/"),
    ("GET", f"{V3}/repositories/"),
    ("POST", f"{V3}/repositories/"),
    ("GET", f"{V3}/repositories/rpm/rpm/"),
    ("POST", f"{V3}/repositories/rpm/rpm/"),
    ("GET", f"{V3}/repositories/rpm/rpm/{ID}/"),
    ("PATCH", f"{V3}/repositories/rpm/rpm/{ID}/"),
    ("DELETE", f"{V3}/repositories/rpm/rpm/{ID}/"),
    ("GET", f"{V3}/repositories/rpm/rpm/{ID}/versions/"),
    ("GET", f"{V3}/repositories/rpm/rpm/{ID}/versions/1/"),
    ("POST", f"{V3}/repair/"),
    ("GET", f"{V3}/tasks/{ID}/list_roles/"),
    ("POST", f"{V3}/tasks/{ID}/add_role/"),
    ("POST", f"{V3}/tasks/{ID}/remove_role/"),
    ("GET", f"{V3}/tasks/{ID}/my_permissions/"),
    ("GET", f"{V3}/login/"),
    ("POST", f"{V3}/login/"),
    ("DELETE", f"{V3}/login/"),
    ("POST", f"{V3}/logout/"),
    ("GET", f"{V3}/tokens/"),
    ("POST", f"{V3}/tokens/"),
    ("GET", f"{V3}/tokens/{ID}/"),
    ("DELETE", f"{V3}/tokens/{ID}/"),
    ("GET", f"{V3}/subjects/"),
    ("POST", f"{V3}/subjects/find/"),
    ("GET", f"{V3}/subjects/{ID}/"),
    ("POST", f"{V3}/subjects/{ID}/erase/"),
    ("GET", f"{V3}/task-counts/"),
    ("GET", f"{V3}/statistics/"),
    ("GET", f"{V3}/statistics/days/"),
    ("GET", f"{V3}/read-model/"),
    ("GET", f"{V3}/dead-letters/"),
    ("GET", f"{V3}/dead-letters/0:1042/"),
    *(("POST", f"{V3}/dead-letters/0:1042/{action}/") for action in LETTER_ACTIONS),
    ("GET", f"{V3}/checkpoints/"),
    ("GET", f"{V3}/audit/"),
    ("GET", f"{V3}/tasks/"),
    ("POST", f"{V3}/tasks/"),
    ("GET", f"{V3}/tasks/{ID}/"),
    ("PATCH", f"{V3}/tasks/{ID}/"),
    ("DELETE", f"{V3}/tasks/{ID}/"),
    ("POST", f"{V3}/tasks/purge/"),
    ("GET", f"{V3}/tasks/{ID}/history/"),
    ("GET", f"{V3}/tasks/{ID}/progress/"),
    ("POST", f"{V3}/tasks/{ID}/rerun/"),
    ("GET", f"{V3}/events/"),
    ("GET", f"{V3}/operations/"),
    ("GET", f"{V3}/operations/sync/"),
    ("GET", f"{V3}/workers/"),
    ("GET", f"{V3}/workers/{ID}/"),
    ("GET", f"{V3}/tasks/{ID}/why/"),
    ("GET", f"{V3}/queues/"),
    ("GET", f"{V3}/resources/"),
    ("GET", f"{V3}/resources/line/"),
    ("GET", f"{V3}/subscriptions/"),
    ("POST", f"{V3}/subscriptions/"),
    ("GET", f"{V3}/subscriptions/{ID}/"),
    ("DELETE", f"{V3}/subscriptions/{ID}/"),
    *(("POST", f"{V3}/subscriptions/{ID}/{action}/") for action in SUBSCRIPTION_ACTIONS),
    ("GET", f"{V3}/subscriptions/{ID}/deliveries/"),
    ("GET", f"{V3}/task-schedules/"),
    ("POST", f"{V3}/task-schedules/"),
    ("POST", f"{V3}/task-schedules/preview/"),
    ("GET", f"{V3}/task-schedules/{ID}/"),
    ("PATCH", f"{V3}/task-schedules/{ID}/"),
    ("DELETE", f"{V3}/task-schedules/{ID}/"),
    ("POST", f"{V3}/task-schedules/{ID}/enable/"),
    ("POST", f"{V3}/task-schedules/{ID}/disable/"),
    ("GET", f"{V3}/task-schedules/{ID}/preview/"),
    ("GET", f"{V3}/task-schedules/{ID}/runs/"),
    ("GET", f"{V3}/task-schedules/{ID}/list_roles/"),
    ("POST", f"{V3}/task-schedules/{ID}/add_role/"),
    ("POST", f"{V3}/task-schedules/{ID}/remove_role/"),
    ("GET", f"{V3}/task-schedules/{ID}/my_permissions/"),
    ("GET", f"{V3}/tasks/{ID}/profile_artifacts/"),
    ("GET", f"{V3}/task-groups/"),
    ("GET", f"{V3}/task-groups/{ID}/"),
    ("PATCH", f"{V3}/task-groups/{ID}/"),
    ("POST", f"{V3}/orphans/cleanup/"),
    ("GET", f"{V3}/users/"),
    ("GET", f"{V3}/users/jo/"),
    ("GET", f"{V3}/groups/"),
    ("GET", f"{V3}/groups/viewer/"),
    ("GET", f"{V3}/groups/viewer/users/"),
]


def basic(text: bytes) -> str:
    return "Basic " + b64encode(text).decode()


async def test_every_call_but_the_open_ones_needs_a_user(api: Site) -> None:
    anybody = api.as_user("")
    for method, path in PROTECTED:
        answer = await anybody.request(method, path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, CHALLENGE), path
    for path, status in OPEN.items():
        assert (await anybody.get(path)).status_code == status, path
    assert isinstance(api.client._transport, httpx.ASGITransport)
    app = api.client._transport.app
    assert isinstance(app, FastAPI)
    routes = {
        (method, route.path_format.format_map(PARTS))
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert routes == {
        *PROTECTED,
        *(("GET", path.replace(":path}", "}").format_map(PARTS)) for path in OPEN),
    }  # no call is left out here


EVERYBODY = frozenset(Role)
ADMINS = frozenset({Role.ADMIN})
SUBMITTING = frozenset({Role.SUBMITTER, Role.ADMIN})
CANCELLING = frozenset({Role.OPERATOR, *SUBMITTING})
OVERSEEING = frozenset({Role.OPERATOR, Role.ADMIN})
NEEDS = {
    **{each: EVERYBODY for each in NOT_SERVED if each[0] != "GET"},
    ("POST", f"{V2}/tasks/search/"): EVERYBODY,
    ("POST", f"{V2}/repositories/search/"): EVERYBODY,
    ("DELETE", f"{V2}/tasks/"): CANCELLING,
    ("DELETE", f"{V2}/task_groups/{ID}/"): CANCELLING,
    ("DELETE", f"{V2}/content/orphans/rpm/"): SUBMITTING,
    ("DELETE", f"{V2}/tasks/{ID}/"): CANCELLING,
    ("DELETE", f"{V2}/content/orphans/"): SUBMITTING,
    ("POST", f"{V2}/repositories/zoo/actions/sync/"): SUBMITTING,
    ("POST", f"{V2}/repositories/zoo/actions//sync/"): SUBMITTING,
    ("POST", f"{V2}/repositories/"): SUBMITTING,
    ("PUT", f"{V2}/repositories/zoo/"): SUBMITTING,
    ("DELETE", f"{V2}/repositories/zoo/"): SUBMITTING,
    ("POST", f"{V3}/repositories/"): SUBMITTING,
    ("POST", f"{V3}/repositories/rpm/rpm/"): SUBMITTING,
    ("PATCH", f"{V3}/repositories/rpm/rpm/{ID}/"): SUBMITTING,
    ("DELETE", f"{V3}/repositories/rpm/rpm/{ID}/"): SUBMITTING,
    ("POST", f"{V3}/repair/"): SUBMITTING,
    ("POST", f"{V3}/tasks/"): SUBMITTING,
    ("PATCH", f"{V3}/tasks/{ID}/"): CANCELLING,
    ("DELETE", f"{V3}/tasks/{ID}/"): CANCELLING,
    ("POST", f"{V3}/tasks/purge/"): CANCELLING,
    ("POST", f"{V3}/tasks/{ID}/rerun/"): SUBMITTING,
    ("POST", f"{V3}/tasks/{ID}/add_role/"): SUBMITTING,
    ("POST", f"{V3}/tasks/{ID}/remove_role/"): SUBMITTING,
    ("POST", f"{V3}/subscriptions/"): CANCELLING,
    ("DELETE", f"{V3}/subscriptions/{ID}/"): CANCELLING,
    **{("POST", f"{V3}/subscriptions/{ID}/{action}/"): CANCELLING for action in SUBSCRIPTION_ACTIONS},
    **{("POST", f"{V3}/dead-letters/0:1042/{action}/"): OVERSEEING for action in LETTER_ACTIONS},
    ("POST", f"{V3}/task-schedules/"): SUBMITTING,
    ("POST", f"{V3}/task-schedules/preview/"): EVERYBODY,
    **{(method, f"{V3}/task-schedules/{ID}/"): SUBMITTING for method in ("PATCH", "DELETE")},
    **{("POST", f"{V3}/task-schedules/{ID}/{change}/"): SUBMITTING for change in ("enable", "disable")},
    **{("POST", f"{V3}/task-schedules/{ID}/{way}_role/"): SUBMITTING for way in ("add", "remove")},
    ("PATCH", f"{V3}/task-groups/{ID}/"): CANCELLING,
    ("POST", f"{V3}/orphans/cleanup/"): SUBMITTING,
    ("POST", f"{V3}/login/"): EVERYBODY,
    ("DELETE", f"{V3}/login/"): EVERYBODY,
    ("POST", f"{V3}/logout/"): EVERYBODY,
    ("POST", f"{V3}/tokens/"): EVERYBODY,
    ("DELETE", f"{V3}/tokens/{ID}/"): EVERYBODY,
    ("POST", f"{V3}/subjects/find/"): ADMINS,
    ("POST", f"{V3}/subjects/{ID}/erase/"): ADMINS,
}
"""The roles that each call is for which may change something, or does not read by GET; the task is the submitter's own."""
BODIES = {("PATCH", f"{V3}/{folder}/{ID}/"): {"state": "canceled"} for folder in ("tasks", "task-groups")}
QUERIES = {("DELETE", f"{V2}/tasks/"): "?state=finished"}


def depends_on_login(dependant: Dependant) -> bool:
    """Whether FastAPI authenticates the caller before the handler runs."""
    return dependant.call is authenticated_call or any(map(depends_on_login, dependant.dependencies))


def test_no_handler_but_the_open_ones_runs_without_a_login() -> None:
    unprotected = {route.path for route in every_route() if not depends_on_login(route.dependant)}
    assert unprotected == set(OPEN)


async def test_each_call_that_may_change_something_names_the_roles_that_it_is_for(
    api: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_api.canceller.CANCEL_S", 0.1)  # nothing ends the task
    assert set(NEEDS) == {(method, path) for method, path in PROTECTED if method != "GET"}
    for role in Role:
        await api.add_user(f"a-{role}", role)
    own = uuid4()
    await api.add(msgspec.structs.replace(accepted(own, group_id=UUID(ID)), actor=f"user:a-{Role.SUBMITTER}"))
    for (method, path), roles in NEEDS.items():
        url = path.replace(f"/tasks/{ID}/", f"/tasks/{own}/") + QUERIES.get((method, path), "")
        allowed = set()
        for role in Role:
            body = BODIES.get((method, path))
            answer = await api.as_user(f"a-{role}").request(method, url, json=body)
            if answer.status_code not in (401, 403):  # Pulp 2 answers 401 to both
                allowed.add(role)
        assert allowed == roles, (method, path)


async def test_wrong_credentials(api: Site) -> None:
    anybody = api.as_user("")
    wrong = [
        basic(b"admin:wrong"),
        basic(b"admin:"),
        basic(f"nobody:{PASSWORD}".encode()),
        basic(f":{PASSWORD}".encode()),
        basic(b"admin"),
        basic(b"\xff:x"),
        basic(f"admin\0:{PASSWORD}".encode()),
        basic(f"admin:{PASSWORD}\0".encode()),
        basic(f"admin:{'x' * 20_000}".encode()),
        "Basic",
        "Basic !",
        "Basic \xff\xfe",
        f"Bearer {PASSWORD}",
        "x" * 5000,
    ]
    for header in wrong:
        answer = await anybody.get(f"{V3}/tasks/", headers={b"Authorization": header.encode("latin-1")})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, CHALLENGE), header
        assert PASSWORD not in answer.text
    right = basic(f"admin:{PASSWORD}".encode())
    for header in (right, right.replace("Basic", "bAsIc")):
        assert (await anybody.get(f"{V3}/tasks/", headers={"Authorization": header})).status_code == 200
    script = {"X-Requested-With": "XMLHttpRequest"}  # a browser must not ask its user
    answer = await anybody.get(f"{V3}/tasks/", headers=script)
    assert answer.headers["www-authenticate"] == f"x{CHALLENGE}"


async def test_a_name_and_a_password_of_any_alphabet(api: Site) -> None:
    async with api.connect() as connection:
        await users.add_user(connection, "zoë", "pässwörd: €uro", Role.VIEWER)
    assert (await api.as_user("zoë", "pässwörd: €uro").get(f"{V3}/tasks/")).status_code == 200


async def act(api: Site, client: httpx.AsyncClient, own: UUID, foreign: UUID) -> list[int]:
    """The statuses of: read, submit, submit by Pulp 2, cancel own, cancel another's, both dialects."""
    body = {"operation": "publish", "arguments": {"repo_id": "zoo"}}
    answers = [
        await client.get(f"{V3}/tasks/{own}/"),
        await client.post(f"{V3}/tasks/", json=body),
        await client.delete(f"{V2}/content/orphans/"),
        await client.delete(f"{V2}/tasks/{own}/"),
        await client.patch(f"{V3}/tasks/{foreign}/", json={"state": "canceled"}),
    ]
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        (Role.VIEWER, [200, 403, 401, 401, 403]),
        (Role.AUDITOR, [200, 403, 401, 401, 403]),
        (Role.OPERATOR, [200, 403, 401, 202, 200]),
        (Role.SUBMITTER, [200, 202, 202, 202, 403]),
        (Role.ADMIN, [200, 202, 202, 202, 200]),
    ],
)
async def test_what_each_role_may_do_and_whom_the_events_name(
    api: Site, role: Role, statuses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_api.canceller.CANCEL_S", 0.3)  # nothing ends these tasks
    await api.add_user("jo", role)
    own, foreign = uuid4(), await api.task()
    await api.add(msgspec.structs.replace(accepted(own), actor="user:jo"))
    before = len(api.log.events)
    assert await act(api, api.as_user("jo"), own, foreign) == statuses
    by_jo = [event for event in api.log.events if event.actor == "user:jo"]
    assert len(by_jo) - 1 == sum(status in (200, 202) for status in statuses[1:])
    assert len(api.log.events) - before == len(by_jo) - 1


async def test_a_refusal_says_which_role_is_needed(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    answer = await api.as_user("jo").post(f"{V3}/tasks/", json={})
    expected = {"detail": "user jo has the role viewer; this needs admin or submitter"}
    assert (answer.status_code, answer.json()) == (403, expected)
    answer = await api.as_user("jo").delete(f"{V2}/tasks/{ID}/")
    assert (answer.status_code, answer.json()["auth_error_code"]) == (401, "permission_denied")


class Clock:
    """Stands still until the test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_user_who_changes_counts_within_seconds(api: Site) -> None:
    clock = Clock()
    authenticator = Authenticator(api.connect, Audit(api.audited.append), clock_s=clock)
    await api.add_user("jo", Role.OPERATOR)

    async def role_of(password: str) -> Role:
        header = basic(f"jo:{password}".encode()).encode()
        scope = {"type": "http", "headers": [(b"authorization", header)]}
        return (await authenticator.principal(Request(scope))).role

    assert await role_of(PASSWORD) is Role.OPERATOR
    await api.execute("update users set role = 'viewer' where name = 'jo'")
    clock.now += 10
    assert await role_of(PASSWORD) is Role.VIEWER
    async with api.connect() as connection:
        await users.set_password(connection, "jo", "another battery")
    clock.now += 10
    assert await role_of("another battery") is Role.VIEWER
    with pytest.raises(Unauthenticated):
        await role_of(PASSWORD)
    await api.execute("delete from users where name = 'jo'")
    clock.now += 10
    with pytest.raises(Unauthenticated):
        await role_of("another battery")
