"""Users whom a proxy names: which proxies are believed, and which are not."""

from typing import Any

import httpx
import pytest
from pulp_accounts.users import Role
from pulp_api.front.addresses import Proxies
from pulp_api.front.forwarded import AUTO, Forwarding
from pulp_api.logins.remote_users import RemoteUser, RemoteUserSettings
from pulp_events.errors import SettingsError

from tests.support.site import PASSWORD, V3, Site

PROXY, CLIENT = "10.0.0.7", "10.9.9.9"
SETTINGS = RemoteUserSettings.read(
    {"PULP_API_REMOTE_USER_HEADER": "X-Remote-User", "PULP_API_REMOTE_USER_PROXIES": f"{PROXY},10.1.0.0/16"}
)


def through(api: Site, address: str, **more: Any) -> httpx.AsyncClient:
    """A client that connects from an address, to an API whose proxies also forward the client's address."""
    assert isinstance(api.client._transport, httpx.ASGITransport)
    inner = Forwarding(api.client._transport.app, Proxies.parse([PROXY], "x"), AUTO)
    transport = httpx.ASGITransport(RemoteUser(inner, SETTINGS), client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://pulp", **more)


async def test_a_trusted_proxy_names_the_user(api: Site) -> None:
    await api.add_user("jo", Role.OPERATOR)
    for address in (PROXY, "10.1.2.3"):
        answer = await through(api, address).get(f"{V3}/login/", headers={"X-Remote-User": "jo"})
        assert (answer.status_code, answer.json()["username"]) == (200, "jo")
        assert (answer.json()["role"], answer.json()["authenticated_by"]) == ("operator", "remote-user")
    told = [(each.what, each.actor, each.method) for each in api.audited]
    assert told == [("login-succeeded", "user:jo", "remote-user")]


async def test_nobody_else_does(api: Site) -> None:
    headers = {"X-Remote-User": "admin"}
    assert (await through(api, CLIENT).get(f"{V3}/tasks/", headers=headers)).status_code == 401
    pretended = {**headers, "X-Forwarded-For": PROXY, "Forwarded": f"for={PROXY}"}
    assert (await through(api, CLIENT).get(f"{V3}/tasks/", headers=pretended)).status_code == 401
    assert (await api.as_user("").get(f"{V3}/tasks/", headers=headers)).status_code == 401  # without the setting


async def test_the_address_of_the_connection_counts_and_not_that_of_the_client(api: Site) -> None:
    headers = {"X-Remote-User": "admin", "X-Forwarded-For": CLIENT}
    assert (await through(api, PROXY).get(f"{V3}/tasks/", headers=headers)).status_code == 200
    assert [each.address for each in api.audited] == [CLIENT]


async def test_what_a_proxy_lets_through_is_refused(api: Site) -> None:
    two = [("X-Remote-User", "admin"), ("X-Remote-User", "jo")]
    assert (await through(api, PROXY).get(f"{V3}/tasks/", headers=two)).status_code == 400
    for name in ("nobody", "x" * 5000, "\xff", "admin, jo"):
        headers = {b"X-Remote-User": name.encode("latin-1")}
        assert (await through(api, PROXY).get(f"{V3}/tasks/", headers=headers)).status_code == 401
    failed = [(each.what, each.method) for each in api.audited]
    assert set(failed) == {("login-failed", "remote-user")}


async def test_without_the_header_the_other_ways_are_open(api: Site) -> None:
    assert (await through(api, PROXY).get(f"{V3}/tasks/")).status_code == 401
    assert (await through(api, PROXY).get(f"{V3}/tasks/", headers={"X-Remote-User": " "})).status_code == 401
    assert (await through(api, PROXY, auth=("admin", PASSWORD)).get(f"{V3}/tasks/")).status_code == 200


async def test_another_site_changes_nothing_through_a_proxy_that_knows_the_browser(api: Site) -> None:
    headers = {"X-Remote-User": "admin", "Sec-Fetch-Site": "cross-site"}
    body = {"operation": "publish", "arguments": {"repo_id": "zoo"}}
    assert (await through(api, PROXY).post(f"{V3}/tasks/", json=body, headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "env",
    [
        {"PULP_API_REMOTE_USER_HEADER": "X-Remote-User"},
        {"PULP_API_REMOTE_USER_PROXIES": PROXY},
        {"PULP_API_REMOTE_USER_HEADER": "Authorization", "PULP_API_REMOTE_USER_PROXIES": PROXY},
        {"PULP_API_REMOTE_USER_HEADER": "X Y", "PULP_API_REMOTE_USER_PROXIES": PROXY},
        {"PULP_API_REMOTE_USER_HEADER": "X-Remote-User", "PULP_API_REMOTE_USER_PROXIES": "proxy"},
    ],
)
def test_settings_that_would_trust_somebody_else_are_refused(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="PULP_API_REMOTE_USER"):
        RemoteUserSettings.read(env)
