"""The API as a process: its start, its end, and its answers while Postgres is away."""

import asyncio
import base64
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from pulp_deploy.local.ports import free_ports
from pulp_events.topics import Topics

from tests.support.api_process import ApiProcess, add_admin, api_process
from tests.support.backends import Backend
from tests.support.postgres_relay import PostgresRelay, postgres_relay
from tests.support.projection import execute
from tests.support.site import PASSWORD, V2, V3
from tests.unit.test_log_lines import parsed

AWAY = "127.0.0.1:1"
SHORT = {"PULP_STARTUP_TIMEOUT_S": "5"}


@pytest.fixture
async def relay(database: str) -> AsyncIterator[PostgresRelay]:
    await add_admin(database)
    async with postgres_relay(database) as made:
        yield made


async def refused(api: ApiProcess, code: int) -> str:
    """Its last words: the message of the failure, and what to do next."""
    assert await api.ended() == code, api.output()
    last = parsed(api.output().splitlines()[-1])
    assert (last["level"], last["exit_code"]) == ("CRITICAL", str(code))
    return f"{last['msg']}\n{last.get('hint', '')}"


async def test_kafka_away_at_the_start(database: str, topics: Topics, tmp_path: Path) -> None:
    async with api_process(AWAY, database, topics, tmp_path, ready=False, settings=SHORT) as api:
        words = await refused(api, 69)
    assert f"Kafka at {AWAY} with topic {topics.events} did not answer in time" in words
    assert f"waiting for Kafka at {AWAY}" in api.output()


async def test_postgres_away_at_the_start(backend: Backend, topics: Topics, tmp_path: Path) -> None:
    [port] = free_ports(1)
    conninfo = f"host=127.0.0.1 port={port} user=pulp dbname=pulp password=topsecret"
    async with api_process(backend.kafka, conninfo, topics, tmp_path, ready=False, settings=SHORT) as api:
        words = await refused(api, 69)
    assert f"Postgres at 127.0.0.1:{port}/pulp did not answer in time" in words
    assert f"waiting for Postgres at 127.0.0.1:{port}/pulp" in api.output()
    assert "topsecret" not in api.output()


async def test_a_port_in_use(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        async with api_process(backend.kafka, database, topics, tmp_path, port=port, ready=False) as api:
            words = await refused(api, 73)
    assert f"port {port} on 127.0.0.1 is in use" in words


async def test_a_setting_that_cannot_be_used_is_named(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    settings = {"PULP_API_CONNECTIONS": "many"}
    async with api_process(backend.kafka, database, topics, tmp_path, ready=False, settings=settings) as api:
        assert "PULP_API_CONNECTIONS" in await refused(api, 78)


async def test_postgres_away_while_it_runs(
    backend: Backend, relay: PostgresRelay, topics: Topics, tmp_path: Path
) -> None:
    async with api_process(backend.kafka, relay.conninfo, topics, tmp_path) as api, api.client() as client:
        health = await api.health(200)
        findings = health.pop("findings")  # none, or those of the first check
        assert not [each for each in findings if each["severity"] == "fault"]
        assert health == {
            "ready": True,
            "down": {},
            "lag": {"0": 0, "1": 0, "2": 0, "3": 0},
            "workers": {"live": 0, "slots": 0, "free": 0},
            "dispatching": False,  # no processor runs
            "settling": False,
            "schedules": {"total": 0, "enabled": 0, "overdue": 0, "overdue_s": None},
        }
        assert (await client.get(f"{V3}/tasks/")).status_code == 200
        await relay.cut()

        assert (await api.health(503))["down"] == {"postgres": "Postgres does not answer"}
        answers = await asyncio.gather(
            client.get(f"{V3}/tasks/"),
            client.get(f"{V2}/tasks/{uuid4()}/"),
            client.post(f"{V3}/tasks/", json={"operation": "sync"}),
        )
        assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "2")] * 3
        assert answers[0].json() == {"detail": "the read model (Postgres) does not answer: try again later"}
        assert (await client.get(f"{V3}/livez/")).status_code == 200
        status = (await client.get(f"{V3}/status/")).json()
        assert (status["database_connection"], status["kafka_connection"]) == (
            {"connected": False},
            {"connected": True},
        )

        await relay.open()
        await api.health(200)
        assert (await client.get(f"{V3}/tasks/")).status_code == 200
        assert await api.stopped() == 0
    assert PASSWORD not in api.output()
    assert "Traceback" not in api.output()


async def test_a_request_that_is_under_way_is_answered_before_it_stops(
    backend: Backend, relay: PostgresRelay, topics: Topics, tmp_path: Path
) -> None:
    async with api_process(backend.kafka, relay.conninfo, topics, tmp_path) as api, api.client() as client:
        await client.get(f"{V3}/tasks/")
        waits = {"Pulp-Min-Position": "0:5"}  # nobody writes: it waits until its time is up
        reading = asyncio.create_task(client.get(f"{V3}/tasks/", headers=waits))
        await asyncio.wait([reading], timeout=0.5)
        assert await api.stopped() == 0
        assert (await reading).status_code == 504


async def many_large_tasks(database: str) -> None:
    """More than a connection's buffers hold, and several pieces of a list."""
    await execute(
        database,
        """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
               shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
               accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)
           select gen_random_uuid(), 'waiting', 'sync', '{}', '[]', '{}', '{}', '{}', 'default', 0, '{}', 'user:x',
                  now() + n * interval '1 ms', now(), 0, n, n, 1, 0, false, 0,
                  json_build_object('text', repeat('x', 5000)), 'null'
             from generate_series(1, 5000) n""",
    )


async def leaves(api: ApiProcess, request: str, body: bytes = b"", *, after: int = 0) -> None:
    """Send a request, read this many bytes of the answer, and disappear."""
    login = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f"{request} HTTP/1.1\r\nHost: pulp.test\r\nAuthorization: Basic {login}\r\n".encode() + body)
    await writer.drain()
    if after:
        await reader.readexactly(after)
    gone = writer.get_extra_info("socket")
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, as by a killed process
    writer.transport.abort()


async def test_clients_that_go_away_leave_no_trace_in_the_log(
    backend: Backend, relay: PostgresRelay, database: str, topics: Topics, tmp_path: Path
) -> None:
    await many_large_tasks(database)
    async with api_process(backend.kafka, relay.conninfo, topics, tmp_path) as api, api.client() as client:
        unfinished = b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        await leaves(api, f"POST {V3}/tasks/", unfinished)
        await leaves(api, f"PATCH {V3}/tasks/{uuid4()}/", unfinished)
        await leaves(api, f"POST {V2}/tasks/search/", unfinished)
        await leaves(api, f"POST {V3}/tasks/", b"Content-Length: 20000000\r\n\r\n{")
        await leaves(api, f"GET {V2}/tasks/", b"\r\n", after=100_000)
        await leaves(api, f"GET {V3}/events/", b"\r\n", after=100)
        await leaves(api, f"GET {V3}/tasks/?limit=10000", b"\r\n", after=1)
        assert (await client.get(f"{V3}/tasks/")).status_code == 200
        assert await api.stopped() == 0  # it has waited for the requests under way
    said = api.output()
    assert "Traceback" not in said
    assert not [
        line
        for line in said.splitlines()
        if "CRITICAL" in line or "ERROR" in line or "WARNING" in line or "level=warn" in line or "level=error" in line
    ]
