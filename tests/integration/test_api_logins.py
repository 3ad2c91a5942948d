"""Logins under attack: who gets in, what it costs, what the audit says. A real Postgres, real hashes."""

import asyncio
import hashlib
import logging
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from unicodedata import normalize
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from argon2 import extract_parameters
from pulp_accounts import passwords, users
from pulp_accounts.passwords import PasswordSettings, hash_password
from pulp_accounts.users import Role
from pulp_api.auditing.audit import Audit
from pulp_api.logins.auth import Principal
from pulp_api.logins.authenticator import Authenticator
from pulp_api.logins.basic import Unauthenticated
from pulp_api.logins.limits import PAIR_BURST, LoginsLimited
from pulp_events.audit import AuditRecord
from starlette.requests import Request

from tests.support.site import PASSWORD, V2, V3, Site

ATTACKER, HOME = "10.6.6.6", "10.0.0.1"
GUESSES = 200


class Clock:
    """Stands still until the test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Hashing:
    """Counts the checks of a password, and can hold them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checked: list[str] = []
        self.hashes: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._real = passwords.matches
        monkeypatch.setattr(passwords, "matches", self._matches)

    def _matches(self, password: str, password_hash: str) -> bool:
        self.checked.append(password)
        self.hashes.append(password_hash)
        assert self.may_go_on.wait(60)
        return self._real(password, password_hash)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Hashing:
    return Hashing(monkeypatch)


class Door:
    """An authenticator with the test's clock."""

    def __init__(self, api: Site, **more: Any) -> None:
        self.clock = Clock()
        self.audited: list[AuditRecord] = []
        self.audit = audit = Audit(self.audited.append, clock_s=self.clock)
        self.authenticator = Authenticator(
            more.pop("connect", api.connect), audit, clock_s=self.clock, slow_s=0, **more
        )

    async def enter(self, name: str, password: str = PASSWORD, *, address: str = HOME, port: int = 1) -> Principal:
        value = b64encode(f"{name}:{password}".encode())
        headers = [(b"authorization", b"Basic " + value)]
        return await self.authenticator.principal(
            Request({"type": "http", "headers": headers, "client": (address, port)})
        )

    async def is_in(self, name: str, password: str = PASSWORD, **more: Any) -> bool:
        try:
            await self.enter(name, password, **more)
        except (Unauthenticated, LoginsLimited):
            return False
        return True

    @property
    def told(self) -> list[tuple[str, str, str | None]]:
        return [(each.what, each.actor, each.address) for each in self.audited]


@pytest.fixture
async def door(api: Site) -> Door:
    return Door(api)


def guess(door: Door, name: Callable[[int], str], address: str = ATTACKER) -> "list[asyncio.Task[bool]]":
    """Clients that guess at the same time, each over its own connection."""
    return [
        asyncio.create_task(door.is_in(name(number), f"wrong-{number}", address=address, port=1000 + number))
        for number in range(GUESSES)
    ]


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in another thread)
            await asyncio.sleep(0.01)


NAMES: dict[str, Callable[[int], str]] = {
    "one name": lambda number: "admin",
    "many names": lambda number: f"name-{number}",
}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("address", [HOME, ATTACKER])
async def test_known_credentials_wait_for_nobody(door: Door, hashing: Hashing, names: str, address: str) -> None:
    await door.enter("admin")
    hashing.may_go_on.clear()  # from now on, every check takes for ever
    guesses = guess(door, NAMES[names], address)
    await settled(lambda: len(hashing.checked) > 1)
    for _ in range(3):
        door.clock.now += 10  # a user who was let in is checked again
        assert (await door.enter("admin")).name == "admin"
    hashing.may_go_on.set()
    assert not any(await asyncio.gather(*guesses))
    assert hashing.checked.count(PASSWORD) == 1


@pytest.mark.parametrize(
    ("honest", "guessed", "address"),
    [
        ("jo", "one name", ATTACKER),  # behind the same NAT as the attacker
        ("jo", "many names", HOME),
        ("admin", "one name", HOME),  # under the name that is being guessed
    ],
)
async def test_fresh_credentials_are_checked_before_the_guesses_that_wait(
    api: Site, door: Door, hashing: Hashing, honest: str, guessed: str, address: str
) -> None:
    await api.add_user("jo", Role.VIEWER)
    hashing.may_go_on.clear()
    guesses = guess(door, NAMES[guessed])
    await settled(lambda: len(hashing.checked) > 0)
    entering = asyncio.create_task(door.enter(honest, address=address))
    await asyncio.sleep(0)
    hashing.may_go_on.set()
    assert (await entering).name == honest
    assert hashing.checked.index(PASSWORD) <= PAIR_BURST + 4  # at most four have their turn
    await asyncio.gather(*guesses)


async def test_a_guesser_is_refused_without_a_hash_and_locks_nobody_out(
    api: Site, door: Door, hashing: Hashing
) -> None:
    await asyncio.gather(*guess(door, NAMES["one name"]))
    assert len(hashing.checked) == PAIR_BURST
    with pytest.raises(LoginsLimited) as caught:
        await door.enter("admin", address=ATTACKER)
    assert caught.value.retry_after_s >= 1
    assert await door.is_in("admin", address=HOME)
    door.clock.now += caught.value.retry_after_s
    assert await door.is_in("admin", address=ATTACKER)


async def test_an_unknown_name_costs_what_a_known_one_costs(api: Site, door: Door, hashing: Hashing) -> None:
    await api.execute("update users set password_hash = %s", hash_password(PASSWORD))
    for name in ("admin", "nobody"):
        before = len(hashing.checked)
        assert not await door.is_in(name, "wrong")
        assert len(hashing.checked) - before == 1
    known, unknown = hashing.hashes
    assert extract_parameters(known) == extract_parameters(unknown)


async def test_requests_at_the_same_time_with_the_same_credentials_cost_one_hash(door: Door, hashing: Hashing) -> None:
    assert {each.name for each in await asyncio.gather(*(door.enter("admin") for _ in range(50)))} == {"admin"}
    assert not any(await asyncio.gather(*(door.is_in("admin", "wrong") for _ in range(50))))
    assert hashing.checked == [PASSWORD, "wrong"]


def scrypt(password: str) -> str:
    """As earlier releases hashed."""
    key = hashlib.scrypt(password.encode(), salt=b"0" * 16, n=2**14, r=8, p=1, dklen=32)
    return f"scrypt${b64encode(b'0' * 16).decode()}${b64encode(key).decode()}"


async def kept_hash(api: Site) -> str:
    return str((await api.execute("select password_hash from users where name = 'admin'"))[0][0])


async def test_an_old_hash_is_good_once_and_hashed_anew(api: Site, door: Door) -> None:
    await api.execute("update users set password_hash = %s, changed_at = '2020-01-01Z'", scrypt(PASSWORD))
    assert not await door.is_in("admin", "wrong")
    assert (await kept_hash(api)).startswith("scrypt$")
    principal = await door.enter("admin")
    assert (await kept_hash(api)).startswith("$argon2id$")
    door.clock.now += 10
    assert await door.enter("admin") == principal
    assert await door.authenticator.still_valid(principal)
    assert await api.execute("select 1 from users where changed_at = '2020-01-01Z'")  # nobody has changed the user


async def test_a_higher_cost_is_paid_at_the_next_login(api: Site) -> None:
    await Door(api).enter("admin")
    costly = Door(api, settings=PasswordSettings(memory_kib=20_480, passes=3))
    await costly.enter("admin")
    assert (await kept_hash(api)).startswith("$argon2id$v=19$m=20480,t=3,p=1$")


async def test_where_the_database_is_read_only_an_old_hash_stays_good(
    api: Site, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def reading() -> AsyncIterator[psycopg.AsyncConnection]:
        async with api.connect() as connection:
            await connection.execute("set default_transaction_read_only = on")
            yield connection

    await api.execute("update users set password_hash = %s", scrypt(PASSWORD))
    caplog.set_level(logging.WARNING, "pulp.api")
    assert await Door(api, connect=reading).is_in("admin")
    assert (await kept_hash(api)).startswith("scrypt$")
    assert "a password hash of an earlier release stays" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_password_that_is_changed_while_it_is_hashed_anew_is_not_overwritten(
    api: Site, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.execute("update users set password_hash = %s", scrypt(PASSWORD))
    real = users.rehash

    async def late(connection: psycopg.AsyncConnection, name: str, **more: str) -> bool:
        async with api.connect() as other:
            await users.set_password(other, "admin", "another battery")
        return await real(connection, name, **more)

    monkeypatch.setattr(users, "rehash", late)
    assert not await door.is_in("admin")
    monkeypatch.undo()
    assert await door.is_in("admin", "another battery")


Change = Callable[[Site], Awaitable[object]]
CHANGES: dict[str, Change] = {
    "removed": lambda api: api.execute("delete from users where name = 'jo'"),
    "another role": lambda api: api.execute("update users set role = 'viewer' where name = 'jo'"),
    "another password": lambda api: api.execute("update users set password_hash = 'x' where name = 'jo'"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_who_holds_a_connection_open_is_looked_at_again(api: Site, door: Door, change: str) -> None:
    await api.add_user("jo", Role.SUBMITTER)
    principal = await door.enter("jo")
    assert await door.authenticator.still_valid(principal)
    await CHANGES[change](api)
    door.clock.now += 5
    assert not await door.authenticator.still_valid(principal)


async def test_while_postgres_is_away_nothing_has_changed(api: Site, door: Door) -> None:
    principal = await door.enter("admin")
    await api.cut_postgres()
    door.clock.now += 10
    assert await door.authenticator.still_valid(principal)


async def test_what_a_login_leaves_in_the_audit(api: Site, door: Door) -> None:
    await door.enter("admin")
    door.clock.now += 10
    await door.enter("admin")
    assert door.told == [("login-succeeded", "user:admin", HOME)]  # once, not for each request
    assert await api.execute("select 1 from users where name = 'admin' and last_login_at is not null")
    for _ in range(PAIR_BURST + 5):
        await door.is_in("admin", "wrong", address=ATTACKER)
    await door.is_in("nobody", address=ATTACKER)
    assert door.told[1:] == [
        ("login-failed", "user:admin", ATTACKER),
        ("login-limited", "user:admin", ATTACKER),
        ("login-failed", "user:nobody", ATTACKER),
    ]
    assert all(each.is_claimed for each in door.audited[1:])
    door.clock.now += 3700
    door.audit.write_due()
    await door.enter("admin")
    assert door.told[-1] == ("login-succeeded", "user:admin", HOME)
    assert not [each for each in door.audited if PASSWORD in repr(each) or each.detail == "wrong"]


async def test_failed_logins_are_in_the_log_once_and_without_the_password(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pulp.audit")
    for number in range(8):
        await door.is_in("admin", f"wrong-{number}")
    lines = [record for record in caplog.records if record.name == "pulp.audit"]
    assert [(line.getMessage(), vars(line)["actor"], vars(line)["address"]) for line in lines] == [
        ("login-failed", "user:admin", HOME)
    ]
    assert "wrong-" not in str([vars(line) for line in lines])


def client_from(api: Site, address: str, port: int, name: str, password: str) -> httpx.AsyncClient:
    assert isinstance(api.client._transport, httpx.ASGITransport)
    transport = httpx.ASGITransport(api.client._transport.app, client=(address, port))
    return httpx.AsyncClient(transport=transport, base_url=api.client.base_url, auth=(name, password))


@pytest.mark.parametrize("path", [f"{V3}/tasks/", f"{V2}/tasks/"])
async def test_a_refusal_says_when_to_come_again_in_both_dialects(api: Site, path: str) -> None:
    guesser = client_from(api, ATTACKER, 1, "admin", "wrong")
    answers = [await guesser.get(path) for _ in range(PAIR_BURST + 1)]
    assert [each.status_code for each in answers] == [401] * PAIR_BURST + [429]
    refused = answers[-1]
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert "www-authenticate" not in refused.headers
    body = refused.json()
    text = body["detail"] if path.startswith(V3) else body["error_message"]
    assert text == f"Too many failed logins: try again in {refused.headers['retry-after']} s."
    assert (await client_from(api, ATTACKER, 1, "admin", PASSWORD).get(path)).status_code == 429
    assert (await client_from(api, HOME, 1, "admin", PASSWORD).get(path)).status_code == 200


async def test_what_a_role_does_not_allow_is_audited(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    client = client_from(api, HOME, 1, "jo", PASSWORD)
    correlation_id = str(uuid4())
    answer = await client.post(f"{V3}/tasks/", json={"operation": "sync"}, headers={"Correlation-ID": correlation_id})
    assert answer.status_code == 403
    (record,) = [each for each in api.audited if each.what == "forbidden"]
    assert (record.actor, record.address, record.outcome) == ("user:jo", HOME, "refused")
    assert record.correlation_id == correlation_id
    assert "POST /pulp/api/v3/tasks/" in record.detail
    task = await api.task()
    assert (await client.patch(f"{V3}/tasks/{UUID(str(task))}/", json={"state": "canceled"})).status_code == 403


async def test_the_status_says_that_nothing_is_audited(api: Site) -> None:
    assert (await api.client.get(f"{V3}/status/")).json()["audit_fault"] is None
    assert isinstance(api.client._transport, httpx.ASGITransport)
    app: Any = api.client._transport.app
    app.state.audit = Audit(api.audited.append, fault=lambda: "there is no topic x.audit")
    assert (await api.client.get(f"{V3}/status/")).json()["audit_fault"] == "there is no topic x.audit"


@pytest.mark.parametrize(("encoding", "form"), [("utf-8", "NFC"), ("utf-8", "NFD"), ("latin-1", "NFC")])
async def test_a_name_and_a_password_in_each_encoding_and_composition(api: Site, encoding: str, form: Any) -> None:
    async with api.connect() as connection:
        await users.add_user(connection, "zoë", "pässwörd mit Ümlaut", Role.VIEWER)
    value = normalize(form, "zoë:pässwörd mit Ümlaut").encode(encoding)
    header = {"Authorization": f"Basic {b64encode(value).decode()}"}
    assert (await api.as_user("").get(f"{V3}/tasks/", headers=header)).status_code == 200


@pytest.mark.parametrize("name", ["admin ", "jo smith", "../x", "adm\u0456n"])
async def test_a_user_of_an_earlier_release_with_an_odd_name_still_gets_in(api: Site, name: str) -> None:
    await api.add_user(name, Role.VIEWER)
    assert (await api.as_user(name).get(f"{V3}/tasks/")).status_code == 200
    async with api.connect() as connection:
        remarks = {user.name: user.remark for user in await users.list_users(connection)}
        assert remarks["admin"] is None
        assert remarks[name] is not None
        await users.set_password(connection, name, "another battery")
        await users.remove_user(connection, name)
