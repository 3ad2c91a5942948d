"""kill -9 after every change that a rebuild makes: `resume` and `cancel` succeed from each state that is left."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.rebuilding import rebuild
from pulp_processor.rebuilding.progress import Phase
from pulp_processor.rebuilding.verify import verify
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.killed_rebuild import Command, run_killed
from tests.support.projection import append_all, execute, project, rows, settings_of, stories

MOST_STEPS = 100


@pytest.fixture
def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    return settings_of(backend.kafka, database, topics)


@pytest.fixture
async def projected(backend: Backend, topics: Topics, settings: Settings) -> AsyncIterator[list[dict[str, Any]]]:
    """A log with stories, all of it projected: the rows of the tasks."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, stories(1, PARTITIONS, tasks=6, length=30))
    await project(settings, await log.end_offsets())
    yield await rows(settings.postgres, "tasks")
    await log.close()


@contextmanager
def copy_of(settings: Settings) -> Iterator[Settings]:
    """The settings of a copy of the database."""
    name = conninfo_to_dict(settings.postgres)["dbname"]
    copy = f"{name}_copy"
    names = {"copy": sql.Identifier(copy), "name": sql.Identifier(str(name))}
    with psycopg.connect(make_conninfo(settings.postgres, dbname="postgres"), autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", [name])
        connection.execute(sql.SQL("create database {copy} template {name}").format(**names))
        try:
            yield replace(settings, postgres=make_conninfo(settings.postgres, dbname=copy))
        finally:
            connection.execute(sql.SQL("drop database {copy} with (force)").format(**names))


async def schemas(settings: Settings) -> set[str]:
    found = await execute(settings.postgres, "select nspname::text from pg_namespace where nspname ~ '^generation_'")
    return {name for (name,) in found}


async def next_command(settings: Settings) -> str:
    """The command that continues the rebuild, as an operator sees from `pulp-tasks rebuild status`."""
    candidate = next((each for each in await rebuild.status(settings) if each.status in ("building", "ready")), None)
    if candidate is None:
        return "start"
    if candidate.status == "building":
        return "resume"
    return "verify" if candidate.verified_at is None else "activate"


async def active(settings: Settings) -> int:
    return next(each.number for each in await rebuild.status(settings) if each.status == "active")


async def test_every_state_that_a_killed_process_leaves_ends_well(
    settings: Settings, projected: list[dict[str, Any]], tmp_path: Path
) -> None:
    phases = tmp_path / "phases"
    passed: list[str] = []

    async def killed(name: str, steps: int = 1) -> bool:
        passed.append(name)
        assert len(passed) < MOST_STEPS, passed
        was_killed = await asyncio.to_thread(run_killed, Command(name, settings, steps, phases))
        assert await rows(settings.postgres, "tasks") == projected, (name, steps)
        known = {f"generation_{each.number}" for each in await rebuild.status(settings)}
        assert await schemas(settings) == known, (name, steps)
        return was_killed

    while await active(settings) == 1:
        await killed(await next_command(settings))
        if await next_command(settings) != "start":
            with copy_of(settings) as copy:
                assert await rebuild.cancel(copy) == 2
                assert [(each.number, each.status) for each in await rebuild.status(copy)] == [(1, "active")]
                assert await schemas(copy) == {"generation_1"}
                assert await rows(copy.postgres, "tasks") == projected
    assert passed.count("resume") > PARTITIONS  # the fill of each, and the steps after that
    while await active(settings) == 2:
        await killed("rollback")
    while len(await rebuild.status(settings)) > 1:
        await killed("prune")
    for steps in count(1):  # it starts over each time
        if not await killed("compare with the log", steps):
            break
    assert list(dict.fromkeys(passed)) == [
        *("start", "resume", "verify", "activate", "rollback", "prune", "compare with the log")
    ]
    assert {*phases.read_text().splitlines()} == {*Phase} - {Phase.READING}
    assert (await verify(settings)).is_equal
    assert [(each.number, each.status) for each in await rebuild.status(settings)] == [(1, "active")]
