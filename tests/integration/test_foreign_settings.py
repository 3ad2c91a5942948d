"""Databases with foreign settings: processes work with them, or wait and then go on."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier
from pulp_events.topics import Topics
from pulp_projections.connection import connect
from pulp_runtime.installation import Installation
from pulp_runtime.startup import prepare

from tests.conftest import PARTITIONS
from tests.support.api_process import add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.hostile import FOREIGN, set_for_database, set_in_environment
from tests.support.pipeline import LIMIT_S, OPERATIONS
from tests.support.processor_process import installation
from tests.support.site import V3
from tests.support.worker_process import WorkerProcess


async def set_read_only(database: str, value: str) -> None:
    """For sessions that begin from now on, including ours."""
    name = Identifier(str(conninfo_to_dict(database)["dbname"]))
    async with await connect(database, "test") as connection:
        await connection.execute("set default_transaction_read_only = off")
        await connection.execute(
            SQL("alter database {} set default_transaction_read_only = ").format(name) + SQL(value)
        )


async def test_processes_start_wait_and_go_on(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> None:
    await prepare(Installation(kafka=backend.kafka, postgres=database, topics=topics))
    await add_admin(database)
    await set_read_only(database, "on")
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as site:
        processor = await site.start().up()
        async with (
            api_process(backend.kafka, database, topics, tmp_path) as api,
            started_worker(site.environment(), tmp_path) as worker,
            api.client() as client,
        ):
            await worker.says("waiting to register in Postgres: the database takes no writes")
            listed = await client.get(f"{V3}/tasks/")
            assert (listed.status_code, listed.json()["count"]) == (200, 0)
            await set_read_only(database, "off")
            await worker.says("worker is up")
            await runs(client)
            assert processor.is_running()
            assert worker.process.returncode is None


async def test_every_process_works_with_foreign_settings(
    backend: Backend, database: str, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings of the database and of the environment, with a schema before `public` that hides its tables."""
    await prepare(Installation(kafka=backend.kafka, postgres=database, topics=topics))
    await add_admin(database)
    foreign = {**FOREIGN, "search_path": "hiding, public"}
    async with await connect(database, "test") as connection:
        await connection.execute("create schema hiding")
        await connection.execute("create table hiding.tasks (nothing integer)")
        await connection.execute("create table hiding.workers (nothing integer)")
        await set_for_database(connection, foreign)
    set_in_environment(monkeypatch, foreign)
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as site:
        processor = await site.start().up()
        async with (
            api_process(backend.kafka, database, topics, tmp_path) as api,
            started_worker(site.environment(), tmp_path) as worker,
            api.client() as client,
        ):
            await worker.says("worker is up")
            await runs(client)
            (found,) = (await client.get(f"{V3}/tasks/")).json()["results"]
            assert found["finished_at"].endswith("Z")
            for said in (processor.output(), api.output(), worker.log.read_text()):
                assert "level=ERROR logger=pulp." not in said


async def runs(client: httpx.AsyncClient) -> None:
    """A task submitted now succeeds, once each session is over what held it back."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            answer = await client.post(f"{V3}/tasks/", json={"operation": "echo"})
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.1)
        assert answer.status_code == 202, answer.text
        state = ""
        while state != "completed":
            found = await client.get(answer.json()["task"])
            assert found.status_code in (200, 503, 504), found.text
            state = found.json().get("state", "")
            await asyncio.sleep(0.05)


@asynccontextmanager
async def started_worker(env: dict[str, str], folder: Path) -> AsyncIterator[WorkerProcess]:
    """A worker that need not be up yet; killed at the end."""
    more = {"PULP_STORAGE": str(folder / "storage"), "PULP_WORKER_MODULES": OPERATIONS}
    (folder / "storage").mkdir()
    with (folder / "worker.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pulp_deploy", "worker"),
            env=environment(folder, **env, **more),
            stderr=output,
            stdout=output,
        )
    try:
        yield WorkerProcess(process, folder / "worker.log")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
