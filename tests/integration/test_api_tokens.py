"""Bearer tokens: what they allow and for how long, what they leave behind, and where they never appear."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from pulp_accounts import tokens, users
from pulp_accounts.users import Role, common_role
from pulp_api.auditing.audit import Audit
from pulp_api.logins.auth import Method, Principal
from pulp_api.logins.authenticator import Authenticator
from pulp_api.logins.basic import Unauthenticated
from pulp_api.logins.limits import PAIR_BURST, SITE_BURST, LoginsLimited
from pulp_events.audit import AuditRecord
from pulp_events.errors import BadInput
from starlette.requests import Request

from tests.support.site import PASSWORD, V2, V3, Site

HOME, ELSEWHERE = "10.0.0.1", "10.6.6.6"


class Clock:
    """Stands still until the test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """An authenticator with the test's clock."""

    def __init__(self, api: Site, **more: Any) -> None:
        self.clock = Clock()
        self.audited: list[AuditRecord] = []
        audit = Audit(self.audited.append, clock_s=self.clock)
        self.authenticator = Authenticator(more.pop("connect", api.connect), audit, clock_s=self.clock, slow_s=0)

    async def enter(self, secret: str, *, address: str = HOME, port: int = 1) -> Principal:
        headers = [(b"authorization", b"Bearer " + secret.encode())]
        scope = {"type": "http", "headers": headers, "client": (address, port)}
        return await self.authenticator.principal(Request(scope))

    @property
    def told(self) -> list[tuple[str, str, str | None, str]]:
        return [(each.what, each.actor, each.method, each.detail) for each in self.audited]


async def make(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"{V3}/tokens/", json={"name": "ci", **body})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


def bearer(api: Site, secret: str) -> httpx.AsyncClient:
    client = api.as_user("")
    client.headers["Authorization"] = f"Bearer {secret}"
    return client


async def test_a_token_stands_for_its_user_with_its_role(api: Site) -> None:
    await api.add_user("jo", Role.SUBMITTER)
    made = await make(api.as_user("jo"), role="viewer", expires_in_seconds=3600)
    assert made["token"].startswith("pulp_")
    assert len(made["token"]) == len("pulp_") + 43  # 256 bits in base64url
    assert (made["user"], made["role"], made["valid"], made["last_used_at"]) == ("jo", "viewer", True, None)
    reader = bearer(api, made["token"])
    assert (await reader.get(f"{V3}/tasks/")).status_code == 200
    assert (await reader.get(f"{V2}/tasks/")).status_code == 200
    refused = await reader.post(f"{V3}/tasks/", json={"operation": "publish", "arguments": {"repo_id": "zoo"}})
    expected = "user jo has the role viewer with this token; this needs admin or submitter"
    assert (refused.status_code, refused.json()) == (403, {"detail": expected})
    writer = bearer(api, (await make(api.as_user("jo"), name="writer"))["token"])
    submitted = await writer.post(f"{V3}/tasks/", json={"operation": "publish", "arguments": {"repo_id": "zoo"}})
    assert submitted.status_code == 202
    assert [event.actor for event in api.log.events] == ["user:jo"]


async def test_no_token_has_more_than_its_maker(api: Site) -> None:
    for role in Role:
        await api.add_user(f"a-{role}", role)
    allowed = {
        (user, wanted)
        for user in Role
        for wanted in Role
        if (
            await api.as_user(f"a-{user}").post(f"{V3}/tokens/", json={"name": f"t-{wanted}", "role": wanted})
        ).status_code
        == 201
    }
    below = {role: {Role.VIEWER, role} for role in Role} | {Role.ADMIN: set(Role)}
    assert allowed == {(user, wanted) for user in Role for wanted in below[user]}


def test_what_two_roles_both_allow() -> None:
    assert common_role(Role.OPERATOR, Role.SUBMITTER) is Role.VIEWER
    for role in Role:
        assert common_role(role, role) is role
        assert common_role(role, Role.ADMIN) is common_role(Role.ADMIN, role) is role
        assert common_role(role, Role.VIEWER) is common_role(Role.VIEWER, role) is Role.VIEWER


async def test_a_lower_role_of_the_user_lowers_the_token_within_seconds(api: Site) -> None:
    await api.add_user("jo", Role.ADMIN)
    gate, made = Gate(api), await make(api.as_user("jo"), role="operator")
    assert (await gate.enter(made["token"])).role is Role.OPERATOR
    await api.execute("update users set role = 'submitter' where name = 'jo'")
    gate.clock.now += 5
    assert (await gate.enter(made["token"])).role is Role.VIEWER  # what operators and submitters may both do
    await api.execute("update users set role = 'operator' where name = 'jo'")
    gate.clock.now += 5
    assert (await gate.enter(made["token"])).role is Role.OPERATOR


GONE = {
    "revoked": "update tokens set revoked_at = now()",
    "expired": "update tokens set expires_at = now()",
    "its user removed": "delete from users where name = 'jo'",
}


@pytest.mark.parametrize("gone", GONE)
async def test_what_counts_no_more_is_refused_within_seconds(api: Site, gone: str) -> None:
    await api.add_user("jo", Role.OPERATOR)
    gate, made = Gate(api), await make(api.as_user("jo"))
    principal = await gate.enter(made["token"])
    assert (principal.name, principal.role, principal.method) == ("jo", Role.OPERATOR, Method.TOKEN)
    assert await gate.authenticator.still_valid(principal)
    await api.execute(GONE[gone])
    gate.clock.now += 5
    assert not await gate.authenticator.still_valid(principal)  # ends an open stream
    with pytest.raises(Unauthenticated):
        await gate.enter(made["token"])


async def test_a_token_is_revoked_at_once_by_its_user_and_by_itself(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    jo = api.as_user("jo")
    for by_itself in (False, True):
        made = await make(jo, name=f"by itself: {by_itself}")
        holder = bearer(api, made["token"])
        assert (await holder.get(f"{V3}/tasks/")).status_code == 200
        where = f"{V3}/tokens/current/" if by_itself else made["pulp_href"]
        answer = await (holder if by_itself else jo).delete(where)
        assert (answer.status_code, answer.json()["valid"], answer.json()["revoked_by"]) == (200, False, "user:jo")
        refused = await holder.get(f"{V3}/tasks/")
        assert refused.status_code == 401
        assert refused.json() == {"detail": f"Invalid token: the token {made['name']} was revoked."}
    assert (await jo.delete(f"{V3}/tokens/{uuid4()}/")).status_code == 404


async def test_who_may_see_and_revoke_what(api: Site) -> None:
    for name in ("jo", "kim"):
        await api.add_user(name, Role.OPERATOR)
    jo, kim = api.as_user("jo"), api.as_user("kim")
    made, other = await make(jo), await make(jo, name="other")
    assert (await kim.get(made["pulp_href"])).status_code == 404
    assert (await kim.delete(made["pulp_href"])).status_code == 404
    assert (await kim.get(f"{V3}/tokens/?user=jo")).status_code == 403
    assert (await kim.get(f"{V3}/tokens/?all=true")).status_code == 403
    assert (await kim.get(f"{V3}/tokens/")).json()["count"] == 0
    holder = bearer(api, made["token"])
    assert [each["name"] for each in (await holder.get(f"{V3}/tokens/")).json()["results"]] == ["ci", "other"]
    assert (await holder.delete(other["pulp_href"])).status_code == 403  # a thief of one cannot block others
    assert (await holder.post(f"{V3}/tokens/", json={"name": "child"})).status_code == 403  # nor get more
    found = (await api.client.get(f"{V3}/tokens/?all=true")).json()["results"]
    assert [(each["user"], each["name"]) for each in found] == [("jo", "ci"), ("jo", "other")]
    assert all("token" not in each for each in found)
    assert (await api.client.delete(made["pulp_href"])).json()["revoked_by"] == "user:admin"


async def test_a_name_is_free_again_once_its_token_has_ended(api: Site) -> None:
    made = await make(api.client)
    again = await api.client.post(f"{V3}/tokens/", json={"name": "ci"})
    assert (again.status_code, "named ci already" in again.text) == (409, True)
    await api.client.delete(made["pulp_href"])
    await make(api.client)
    await api.execute("update tokens set expires_at = now() - interval '1 day' where revoked_at is null")
    await make(api.client)
    await api.execute("update tokens set revoked_at = now() - interval '31 days' where revoked_at is not null")
    await make(api.client, name="another")
    assert sorted(row[0] for row in await api.execute("select name from tokens")) == ["another", "ci"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"name": ""}',
        b'{"name": " ci"}',
        b'{"name": "a\\nb"}',
        b'{"name": 1}',
        b'{"name": "ci", "role": "root"}',
        b'{"name": "ci", "expires_in_seconds": 0}',
        b'{"name": "ci", "expires_in_seconds": 31622401}',
        b'{"name": "ci", "bogus": 1}',
        b'{"name": "pulp_7eqIzmYqM2Xk3b5m3Zk9y0n7R1s5T8u2W4x6Z0a1B2c"}',
    ],
)
async def test_a_wrong_body_is_refused(api: Site, body: bytes) -> None:
    answer = await api.client.post(f"{V3}/tokens/", content=body)
    assert answer.status_code == 400, answer.text
    assert "pulp_7eq" not in answer.text  # somebody gave the name in place of the token
    assert await api.execute("select from tokens") == []


async def test_a_user_has_a_bounded_number_of_them(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 2)
    for number in range(2):
        await make(api.client, name=f"t{number}")
    answer = await api.client.post(f"{V3}/tokens/", json={"name": "t3"})
    assert (answer.status_code, "revoke one first" in answer.text) == (409, True)


async def test_the_last_use_is_stored_and_the_audit_says_how_each_was_authenticated(api: Site) -> None:
    gate, made = Gate(api), await make(api.client)
    await gate.enter(made["token"])
    assert (await api.client.get(made["pulp_href"])).json()["last_used_at"] is not None
    await api.execute("update tokens set last_used_at = null")
    gate.clock.now += 30
    await gate.enter(made["token"])
    assert (await api.client.get(made["pulp_href"])).json()["last_used_at"] is None  # to the minute
    gate.clock.now += 30
    await gate.enter(made["token"])
    assert (await api.client.get(made["pulp_href"])).json()["last_used_at"] is not None
    assert gate.told == [("login-succeeded", "user:admin", "token", "the token ci")]  # once, not for each request
    await api.client.delete(made["pulp_href"])
    gate.clock.now += 5
    for secret in (made["token"], tokens.PREFIX + "x" * 43):
        with pytest.raises(Unauthenticated):
            await gate.enter(secret)
    assert gate.told[1:] == [
        ("token-refused", "user:admin", "token", "the token ci was revoked"),
        ("login-failed", "user:", "token", "an unknown token"),
    ]
    changes = [(each.what, each.target, each.method) for each in api.audited if each.what.startswith("token-")]
    assert changes == [("token-created", "admin", "basic"), ("token-revoked", "admin", "basic")]


async def test_unknown_tokens_are_limited_and_keep_nobody_else_out(api: Site) -> None:
    gate, made = Gate(api), await make(api.client)
    await gate.enter(made["token"])
    for number in range(PAIR_BURST):
        with pytest.raises(Unauthenticated):
            await gate.enter("pulp_wrong", address=ELSEWHERE, port=number)
    with pytest.raises(LoginsLimited):  # the same one again and again
        await gate.enter("pulp_wrong", address=ELSEWHERE, port=99)
    for number in range(SITE_BURST):
        with pytest.raises((Unauthenticated, LoginsLimited)):
            await gate.enter(f"pulp_{number}", address=HOME, port=1)
    with pytest.raises(LoginsLimited):
        await gate.enter("pulp_another", address=HOME, port=1)
    gate.clock.now += 5
    assert (await gate.enter(made["token"], port=1)).name == "admin"


async def test_parallel_requests_with_a_new_token_share_one_look_up(api: Site) -> None:
    gate, made = Gate(api), await make(api.client)
    found = await asyncio.gather(*(gate.enter(made["token"], port=port) for port in range(1, 31)))
    assert [(each.name, each.method) for each in found] == [("admin", Method.TOKEN)] * 30
    assert [what for what, *_ in gate.told] == ["login-succeeded"]


async def test_a_user_who_has_just_been_removed_gets_no_token(api: Site) -> None:
    async with api.connect() as connection:
        with pytest.raises(BadInput, match="there is no user jo any more"):
            await tokens.create(connection, "jo", "ci", Role.SUBMITTER, timedelta(hours=1))


async def test_where_the_database_is_read_only_a_token_still_counts(api: Site) -> None:
    @asynccontextmanager
    async def reading() -> AsyncIterator[psycopg.AsyncConnection]:
        async with api.connect() as connection:
            await connection.execute("set default_transaction_read_only = on")
            yield connection

    made = await make(api.client)
    assert (await Gate(api, connect=reading).enter(made["token"])).name == "admin"


async def test_while_postgres_is_away_nothing_has_changed(api: Site) -> None:
    gate, made = Gate(api), await make(api.client)
    principal = await gate.enter(made["token"])
    await api.cut_postgres()
    gate.clock.now += 10
    assert await gate.authenticator.still_valid(principal)
    with pytest.raises(psycopg.OperationalError):
        await gate.enter(made["token"])


async def test_another_password_leaves_tokens_and_another_name_keeps_them(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    holder = bearer(api, (await make(api.as_user("jo")))["token"])
    async with api.connect() as connection:
        await users.set_password(connection, "jo", "another battery")
    assert (await holder.get(f"{V3}/tasks/")).status_code == 200


async def test_a_token_is_in_no_log_error_record_or_row(api: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = await make(api.client)
    secret = made["token"]
    holder = bearer(api, secret)
    answers = [
        await holder.get(f"{V3}/tasks/"),
        await holder.get(f"{V3}/tasks/?bogus=1"),
        await holder.get(f"{V3}/nowhere/"),
        await holder.get(f"{V3}/tokens/"),
        await holder.get(f"{V3}/tokens/current/"),
        await holder.post(f"{V3}/tokens/", json={"name": "child"}),
        await holder.post(f"{V3}/tasks/", json={"operation": "publish", "arguments": {"repo_id": "zoo"}}),
        await holder.delete(f"{V3}/tokens/current/"),
        await holder.get(f"{V3}/tasks/"),
        await holder.get(f"{V2}/tasks/"),
        await bearer(api, secret + "x").get(f"{V3}/tasks/"),
        await bearer(api, secret * 1000).get(f"{V3}/tasks/"),
    ]
    texts = [answer.text + str(answer.headers) for answer in answers]
    texts += [caplog.text, *map(repr, api.audited), *map(repr, api.log.events)]
    texts += [repr(await api.execute(f"select {table}::text from {table}")) for table in ("tokens", "users")]
    assert not [text for text in texts if secret[5:] in text]
    assert PASSWORD not in caplog.text
