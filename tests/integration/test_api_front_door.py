"""The API's process under attack: attackers are counted, honest clients are answered, and memory stays bounded."""

import asyncio
import re
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from psycopg import AsyncConnection
from pulp_accounts.users import Role, add_user
from pulp_events.topics import Topics

from benchmarks.attacks import ATTACKS
from benchmarks.siege import attacking, peak_mib, reset_peak
from tests.support.api_process import ApiProcess, add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.raw_http import ask, connect, connected
from tests.support.site import PASSWORD, V3

MOST_MIB = 250
HONEST = 60
LIVE = f"GET {V3}/livez/ HTTP/1.1\r\nHost: pulp.test\r\n\r\n".encode()
CROWDED = 1500
SEVERAL = ("silent", "half-a-head", "big-head", "big-url", "big-body", "never-reading")


@pytest.fixture
async def api(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[ApiProcess]:
    await add_admin(database)
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        await add_user(connection, "mallory", PASSWORD, Role.SUBMITTER)
    async with api_process(backend.kafka, database, topics, tmp_path) as made:
        yield made


async def honest(api: ApiProcess) -> None:
    """Requests on a connection that stays, and on new ones; every one is answered."""
    async with api.client() as client:
        for _ in range(HONEST // 2):
            assert (await client.get(f"{V3}/tasks/?limit=5")).status_code == 200
            answer = await ask(api.port, LIVE)
            assert answer is not None
            assert answer.status == 200


async def attacked(api: ApiProcess, attackers: int = 1) -> None:
    """Returns when this many attackers are connected."""
    process = psutil.Process(api.process.pid)
    async with asyncio.timeout(60):
        while sum("127.0.7." in str(each.raddr) for each in process.net_connections("tcp")) < attackers:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in ("guessing", "flooding", "big-lists")])
async def test_honest_clients_are_answered_beside_attackers(api: ApiProcess, tmp_path: Path, name: str) -> None:
    await honest(api)
    reset_peak(api.process.pid)
    async with attacking(name, api.port, ("mallory", PASSWORD), environment(tmp_path)) as counts:
        await attacked(api, 200 if ATTACKS[name].how_many > 1000 else 1)
        await honest(api)
    assert counts["connections"] > 0
    assert peak_mib(api.process.pid) <= MOST_MIB
    assert await api.stopped() == 0
    assert_is_terse(api.output())


async def test_all_attackers_at_once(api: ApiProcess, tmp_path: Path) -> None:
    reset_peak(api.process.pid)
    async with AsyncExitStack() as stack:
        for name in SEVERAL:
            await stack.enter_async_context(attacking(name, api.port, ("mallory", PASSWORD), environment(tmp_path)))
        await honest(api)
    assert peak_mib(api.process.pid) <= MOST_MIB
    assert await api.stopped() == 0
    assert_is_terse(api.output())


def assert_is_terse(said: str) -> None:
    """There is no traceback, and only a few lines, with counts, about what clients caused."""
    assert "Traceback" not in said
    assert len(said) < 250_000  # for each kind, the audit distinguishes 500 pairs of a name and an address in a minute
    assert len(re.findall("msg=refused", said)) < 200


async def test_descriptors_are_raised_and_their_end_is_no_end(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    await add_admin(database)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # as most systems have it: the process raises it
    try:
        async with api_process(backend.kafka, database, topics, tmp_path) as api:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            process = psutil.Process(api.process.pid)
            assert process.rlimit(psutil.RLIMIT_NOFILE)[0] == hard
            used = process.num_fds()
            process.rlimit(psutil.RLIMIT_NOFILE, (used + 40, hard))  # fewer than its limit at the start
            crowd = [await connect(api.port) for _ in range(200)]
            try:
                for _ in range(20):
                    answer = await ask(api.port, LIVE)
                    assert answer is not None
                    assert answer.status == 200
                said = await api.said("Too many open files")
            finally:
                await asyncio.gather(*(raw.close() for raw in crowd))
            assert await api.stopped() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert said.count("Too many open files") < 20
    assert_is_terse(api.output())


async def test_event_streams_are_bounded_and_their_seats_come_back(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    await add_admin(database)
    bounds = {"PULP_API_STREAMS": "3", "PULP_API_STREAMS_PER_ADDRESS": "2"}
    async with api_process(backend.kafka, database, topics, tmp_path, settings=bounds) as api, api.client() as client:
        async with api.events(), api.events():
            refused = await client.get(f"{V3}/events/")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
            assert "2 event streams" in refused.json()["detail"]
            assert (await client.get(f"{V3}/tasks/")).status_code == 200
        async with asyncio.timeout(60):
            while True:
                async with client.stream("GET", f"{V3}/events/") as answer:
                    if answer.status_code == 200:
                        break
        assert await api.stopped() == 0


async def test_the_access_log_has_a_line_for_each_request_and_no_secret(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    await add_admin(database)
    settings = {"PULP_API_ACCESS_LOG": "on", "PULP_API_TRUSTED_PROXIES": "127.0.0.0/8"}
    async with api_process(backend.kafka, database, topics, tmp_path, settings=settings) as api, api.client() as client:
        guid = "6f0ee21f-4a0c-4cf0-8d8b-2a8a46d9e3a1"
        told = {"Correlation-ID": guid, "X-Forwarded-For": "203.0.113.5"}
        found = await client.get(f"{V3}/tasks/?name=topsecret", headers=told)
        await httpx.AsyncClient(trust_env=False).get(f"{api.url}{V3}/tasks/", headers={"X-Forwarded-For": "bad<"})
        await client.get(f"{V3}/tasks/", auth=("admin", "wrongsecret"))
        await client.request("HEAD", f"{V3}/livez/")
        assert await api.stopped() == 0
    said = api.output()
    lines = [line for line in said.splitlines() if "logger=pulp.api.access" in line]
    [line] = [line for line in lines if guid in line]
    fields = dict(part.split("=", 1) for part in line.split(" "))
    assert (fields["method"], fields["path"], fields["status"]) == ("GET", f"{V3}/tasks/", "200")
    assert (fields["actor"], fields["auth"], fields["address"]) == ("user:admin", "basic", "203.0.113.5")
    assert int(fields["bytes"]) == len(found.content)
    assert float(fields["ms"]) >= 0
    assert any("status=401" in line and "actor=-" in line for line in lines)
    assert any("method=HEAD" in line and "bytes=0" in line for line in lines)
    assert "secret" not in said
    assert PASSWORD not in said


async def test_urls_and_addresses_are_those_of_the_outside_behind_a_trusted_proxy_alone(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    await add_admin(database)
    trusted = {"PULP_API_TRUSTED_PROXIES": "127.0.0.2,::1"}
    told = b"Forwarded: for=203.0.113.5;proto=https;host=pulp.example\r\n"
    request = b"GET /metrics HTTP/1.1\r\nHost: inner\r\n" + told + b"\r\n"
    async with api_process(backend.kafka, database, topics, tmp_path, settings=trusted) as api:
        behind = await ask(api.port, request, source="127.0.0.2")
        forged = await ask(api.port, request, source="127.0.0.3")
        assert behind is not None
        assert forged is not None
        assert b"https://pulp.example/pulp/api/v3/" in behind.body
        assert behind.headers["strict-transport-security"] == "max-age=31536000"
        assert b"http://inner/pulp/api/v3/" in forged.body
        assert "strict-transport-security" not in forged.headers
        odd = await ask(api.port, request.replace(b"for=", b'for="'), source="127.0.0.2")
        assert odd is not None
        assert odd.status == 400
        assert await api.stopped() == 0


async def test_a_stop_is_prompt_beside_attackers(api: ApiProcess, tmp_path: Path) -> None:
    async with (
        attacking("silent", api.port, ("mallory", PASSWORD), environment(tmp_path)),
        attacking("half-a-head", api.port, ("mallory", PASSWORD), environment(tmp_path)),
        attacking("streams", api.port, ("mallory", PASSWORD), environment(tmp_path)),
        connected(api.port) as raw,
    ):
        await attacked(api)
        await honest(api)
        assert await api.stopped() == 0
        assert await raw.is_closed()
    assert_is_terse(api.output())
