"""Browser sessions: login and logout as in Pulp 3, cookies, and what requests from another site cannot do."""

import asyncio
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from pulp_accounts import sessions, users
from pulp_accounts.users import Role

from tests.support.site import PASSWORD, V3, Site

BODY = {"operation": "publish", "arguments": {"repo_id": "zoo"}}


class Browser:
    """Keeps cookies, and sends the headers that a page's script adds."""

    def __init__(self, api: Site, base_url: str = "http://pulp") -> None:
        self.client = httpx.AsyncClient(transport=api.client._transport, base_url=base_url)

    async def login(self, name: str = "admin", password: str = PASSWORD) -> httpx.Response:
        return await self.client.post(f"{V3}/login/", auth=(name, password))

    @property
    def csrf(self) -> dict[str, str]:
        return {"X-CSRFToken": self.client.cookies["csrftoken"]}


def cookies_of(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for header in answer.headers.get_list("set-cookie"):
        for name, morsel in SimpleCookie(header).items():
            found[name] = {"value": morsel.value, **{key: value for key, value in morsel.items() if value}}
    return found


async def test_a_login_gives_the_cookies_that_later_requests_need(api: Site) -> None:
    browser = Browser(api)
    answer = await browser.login()
    assert (answer.status_code, answer.json()["username"]) == (201, "admin")
    assert answer.headers["cache-control"] == "no-store"
    session, csrf = cookies_of(answer)["sessionid"], cookies_of(answer)["csrftoken"]
    assert (session["httponly"], session["samesite"], session["path"]) == (True, "lax", "/")
    assert "httponly" not in csrf  # the page's script reads it
    assert csrf["samesite"] == "lax"
    assert session["max-age"] == csrf["max-age"] == "86400"
    assert "secure" not in session | csrf
    assert (await browser.client.get(f"{V3}/tasks/")).status_code == 200
    told = (await browser.client.get(f"{V3}/login/")).json()
    assert (told["username"], told["role"], told["authenticated_by"]) == ("admin", "admin", "session")
    assert (await browser.client.post(f"{V3}/tasks/", json=BODY, headers=browser.csrf)).status_code == 202
    assert [event.actor for event in api.log.events] == ["user:admin"]
    told_of = [(each.what, each.method) for each in api.audited]
    assert told_of == [("login-succeeded", "basic")]


async def test_parallel_requests_of_a_new_session_share_one_look_up(api: Site) -> None:
    browser = Browser(api)
    await browser.login()
    answers = await asyncio.gather(*(browser.client.get(f"{V3}/login/") for _ in range(30)))
    assert [answer.status_code for answer in answers] == [200] * 30


async def test_under_tls_the_cookies_are_for_tls_alone(api: Site) -> None:
    cookies = cookies_of(await Browser(api, "https://pulp").login())
    assert cookies["sessionid"]["secure"] is cookies["csrftoken"]["secure"] is True


async def test_what_may_change_something_needs_the_token_of_this_session(api: Site) -> None:
    browser, other = Browser(api), Browser(api)
    await browser.login()
    await other.login()
    missing = await browser.client.post(f"{V3}/tasks/", json=BODY)
    assert (missing.status_code, missing.json()) == (403, {"detail": "CSRF Failed: CSRF token missing."})
    for headers in (other.csrf, {"X-CSRFToken": ""}, {"X-CSRFToken": "x" * 64}):
        answer = await browser.client.post(f"{V3}/tasks/", json=BODY, headers=headers)
        assert (answer.status_code, answer.json()["detail"].startswith("CSRF Failed: ")) == (403, True)
    assert (await browser.client.delete(f"{V3}/login/")).status_code == 403
    crossing = {**browser.csrf, "Sec-Fetch-Site": "cross-site"}
    assert (await browser.client.post(f"{V3}/tasks/", json=BODY, headers=crossing)).status_code == 403
    assert api.log.events == []
    basic = await browser.client.post(f"{V3}/tasks/", json=BODY, auth=("admin", PASSWORD))
    assert basic.status_code == 202  # a page of another site cannot send this header


@pytest.mark.parametrize(("method", "path"), [("DELETE", "login"), ("POST", "logout")])
async def test_after_a_logout_the_cookie_counts_no_more(api: Site, method: str, path: str) -> None:
    browser = Browser(api)
    await browser.login()
    stolen = dict(browser.client.cookies)
    answer = await browser.client.request(method, f"{V3}/{path}/", headers=browser.csrf)
    assert (answer.status_code, answer.content) == (204, b"")
    assert {cookie["max-age"] for cookie in cookies_of(answer).values()} <= {"0"}
    assert dict(browser.client.cookies) == {}
    thief = Browser(api).client
    thief.cookies.update(stolen)
    assert (await thief.get(f"{V3}/tasks/")).status_code == 401
    assert [(each.what, each.actor, each.method) for each in api.audited][-1] == ("logged-out", "user:admin", "session")


ENDS = {
    "expired": "update sessions set expires_at = now()",
    "another password": "update users set password_hash = 'x' where name = 'jo'",
    "removed": "delete from users where name = 'jo'",
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_session_ends_by_itself(api: Site, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.logins.cookies.TRUSTED_S", 0.0)
    await api.add_user("jo", Role.VIEWER)
    browser = Browser(api)
    await browser.login("jo")
    assert (await browser.client.get(f"{V3}/tasks/")).status_code == 200
    await api.execute(ENDS[end])
    assert (await browser.client.get(f"{V3}/tasks/")).status_code == 401


async def test_another_role_counts_in_an_open_session(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.logins.cookies.TRUSTED_S", 0.0)
    await api.add_user("jo", Role.SUBMITTER)
    browser = Browser(api)
    await browser.login("jo")
    async with api.connect() as connection:
        await users.set_role(connection, "jo", Role.VIEWER)
    assert (await browser.client.post(f"{V3}/tasks/", json=BODY, headers=browser.csrf)).status_code == 403


async def test_only_a_name_and_a_password_begin_a_session(api: Site) -> None:
    made = (await api.client.post(f"{V3}/tokens/", json={"name": "ci"})).json()
    browser = Browser(api)
    by_token = await browser.client.post(f"{V3}/login/", headers={"Authorization": f"Bearer {made['token']}"})
    assert by_token.status_code == 403  # the session would outlive the token
    assert (await browser.login("admin", "wrong")).status_code == 401
    assert (await browser.client.post(f"{V3}/login/")).status_code == 401
    assert dict(browser.client.cookies) == {}
    await browser.login()
    by_session = await browser.client.post(f"{V3}/login/", headers=browser.csrf)
    assert by_session.status_code == 403  # nor does a session last for ever
    assert await api.execute("select count(*) from sessions") == [(1,)]


async def test_a_user_has_a_bounded_number_of_sessions(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 2)
    browsers = [Browser(api) for _ in range(3)]
    for browser in browsers:
        await browser.login()
    monkeypatch.setattr("pulp_api.logins.cookies.TRUSTED_S", 0.0)
    statuses = [(await browser.client.get(f"{V3}/tasks/")).status_code for browser in browsers]
    assert statuses == [401, 200, 200]


@pytest.mark.parametrize("cookie", ["", "x", "x" * 43, "x" * 4000, "ä", "\x7f"])
async def test_an_invented_cookie_is_refused(api: Site, cookie: str) -> None:
    headers = {b"Cookie": b"sessionid=" + cookie.encode()}
    assert (await api.as_user("").get(f"{V3}/tasks/", headers=headers)).status_code == 401
    assert (await api.client.get(f"{V3}/tasks/", headers=headers)).status_code == 200  # the header takes precedence


async def test_no_secret_of_a_session_is_stored(api: Site) -> None:
    browser = Browser(api)
    await browser.login()
    stored = repr(await api.execute("select sessions::text from sessions"))
    assert not [value for value in dict(browser.client.cookies).values() if value in stored]
