"""Unusable databases and topics: what a process says, how it ends, and what `doctor` and `readyz` report."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_events.topics import Topics
from pulp_projections.connection import connect
from pulp_runtime.installation import Installation
from pulp_runtime.preconditions.looking import Place, look
from pulp_runtime.preconditions.watch import Watch
from pulp_runtime.startup import PreconditionFailed, prepare

from tests.conftest import PARTITIONS
from tests.support import documented
from tests.support.api_process import api_process
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.postgres_relay import PostgresRelay
from tests.support.site import V3

AWAY = "host=127.0.0.1 port=1 user=nobody dbname=none"


@asynccontextmanager
async def new_database(backend: Backend, options: str = "") -> AsyncIterator[str]:
    """An empty database for this test only; `options` are those of `create database`."""
    name = f"test_{uuid4().hex[:12]}"
    async with await connect(backend.postgres, "test") as server:
        await server.execute(SQL("create database {} ").format(Identifier(name)) + SQL(options))
        try:
            yield make_conninfo(backend.postgres, dbname=name)
        finally:
            await server.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def of(backend: Backend, database: str, topics: Topics, **more: Any) -> Installation:
    return Installation(kafka=backend.kafka, postgres=database, topics=topics, startup_timeout_s=30, **more)


def change_topic(backend: Backend, topic: str, **settings: str) -> None:
    """Settings of a topic, with `_` for `.`."""
    entries = [
        ConfigEntry(key.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for key, value in settings.items()
    ]
    client = AdminClient({"bootstrap.servers": backend.kafka})
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    client.incremental_alter_configs([resource])[resource].result(30)


def env_of(backend: Backend, database: str, topics: Topics, folder: Path) -> dict[str, str]:
    prefix = topics.events.removesuffix(".events")
    return environment(folder, PULP_KAFKA=backend.kafka, PULP_POSTGRES=database, PULP_TOPIC_PREFIX=prefix)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_with_another_encoding_is_refused_before_anything_is_made(
    backend: Backend, topics: Topics, tmp_path: Path, encoding: str
) -> None:
    options = f"encoding '{encoding}' locale_provider libc locale 'C' template template0"
    async with new_database(backend, options) as database:
        for process in ("processor", "api"):
            env = env_of(backend, database, topics, tmp_path)
            done = await asyncio.to_thread(pulp_tasks, process, env=env)
            assert done.returncode == 78, done.stderr
            assert f"is encoded in {encoding}, not in UTF8" in done.stderr
            assert "createdb --encoding=UTF8" in done.stderr
        async with await connect(database, "test") as connection:
            cursor = await connection.execute("select count(*) from pg_tables where schemaname = 'public'")
            assert await cursor.fetchall() == [(0,)]


async def test_an_encoding_that_was_not_named_but_came_from_the_locale_c(backend: Backend, topics: Topics) -> None:
    """`LANG=C` with UTF-8 named is all right."""
    options = "encoding 'UTF8' locale_provider libc locale 'C' template template0"
    async with new_database(backend, options) as database:
        assert (await prepare(of(backend, database, topics))).generation == 1


async def test_a_role_that_may_not_make_tables_waits_for_who_may_and_then_says_so(
    backend: Backend, database: str, topics: Topics
) -> None:
    role = f"role_{uuid4().hex[:12]}"
    async with new_database(backend) as fresh, await connect(fresh, "test") as owner:
        await owner.execute(SQL("create role {} login password 'x'").format(Identifier(role)))
        try:
            theirs = make_conninfo(fresh, user=role, password="x")
            short = Installation(kafka=backend.kafka, postgres=theirs, topics=topics, startup_timeout_s=1)
            with pytest.raises(PreconditionFailed, match="pulp-tasks database migrate"):
                await prepare(short)
            waiting = asyncio.create_task(prepare(of(backend, theirs, topics)))
            await prepare(of(backend, fresh, topics))
            await owner.execute(
                SQL("grant select on schema_migrations, active_generation, event_topic to {}").format(Identifier(role))
            )
            assert (await waiting).generation == 1
        finally:
            await owner.execute(SQL("drop owned by {}").format(Identifier(role)))
            await owner.execute(SQL("drop role {}").format(Identifier(role)))


async def test_tables_that_search_path_has_put_elsewhere_are_not_made_again(backend: Backend, topics: Topics) -> None:
    async with new_database(backend) as database:
        async with await connect(database, "test") as connection:
            await connection.execute('create schema "Mine"')
            await connection.execute('create table "Mine".schema_migrations (name text)')
        with pytest.raises(PreconditionFailed, match='in the schema "Mine"'):
            await prepare(of(backend, database, topics))


async def test_a_database_that_takes_no_writes_is_read(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    """The API starts and answers: nothing is missing in the database, so it writes nothing there."""
    await prepare(of(backend, database, topics))
    name = str(conninfo_to_dict(database)["dbname"])
    async with await connect(database, "test") as connection:
        await connection.execute(
            SQL("alter database {} set default_transaction_read_only = on").format(Identifier(name))
        )
    async with api_process(backend.kafka, database, topics, tmp_path) as api:
        await api.said("check=database-read-only")
        health = await api.health(200)
    assert [each["severity"] for each in health["findings"] if each["check"] == "database-read-only"] == ["warning"]


async def test_a_topic_that_would_lose_history_is_refused(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    change_topic(backend, topics.events, retention_ms="604800000", message_timestamp_type="CreateTime")
    env = env_of(backend, database, topics, tmp_path)
    done = await asyncio.to_thread(pulp_tasks, "processor", env=env)
    assert done.returncode == 78, done.stderr
    for words in ("retention.ms is 604800000", "LogAppendTime", "pulp-tasks topics mend", "PULP_TOPIC_CHECK=warn"):
        assert words in done.stderr
    done = await asyncio.to_thread(pulp_tasks, "processor", env={**env, "PULP_TOPIC_CHECK": "maybe"})
    assert (done.returncode, "one of warn, refuse" in done.stderr) == (78, True)


async def test_a_topic_that_is_let_pass_is_told_in_readyz_and_in_the_log(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    change_topic(backend, topics.events, retention_ms="604800000")
    settings = {"PULP_TOPIC_CHECK": "warn"}
    async with api_process(backend.kafka, database, topics, tmp_path, settings=settings) as api, api.client() as client:
        await api.said("check=topic-retention")
        health = await api.health(503)
        status = (await client.get(f"{V3}/status/")).json()
        submitted = await client.get(f"{V3}/livez/")
    (told,) = [each for each in health["findings"] if each["check"] == "topic-retention"]
    assert (health["ready"], health["down"], told["severity"]) == (False, {}, "fault")
    assert told in status["findings"]
    assert submitted.status_code == 200


async def doctor(env: dict[str, str], code: int) -> dict[str, Any]:
    done = await asyncio.to_thread(pulp_tasks, "doctor", "--output", "json", env=env)
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    documented.check("doctor", found)
    return found


async def test_doctor_tells_what_is_wrong_by_its_exit_code(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    await prepare(of(backend, database, topics))
    env = env_of(backend, database, topics, tmp_path)
    well = await doctor(env, 0)
    assert (well["unchecked"], {each["severity"] for each in well["findings"]} <= {"note"}) == ([], True)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    warned = await doctor({**env, "PULP_STORAGE": str(tmp_path / "open")}, 1)
    assert (warned["worst"], warned["findings"][0]["check"]) == ("warning", "storage-open")
    change_topic(backend, topics.events, cleanup_policy="compact")
    bad = await doctor(env, 2)
    assert (bad["worst"], bad["findings"][0]["check"]) == ("fault", "topic-cleanup")


async def test_doctor_tells_what_it_could_not_look_at(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    env = env_of(backend, database, topics, tmp_path)
    found = await doctor({**env, "PULP_KAFKA": "127.0.0.1:1"}, 2)
    assert "kafka-away" in {each["check"] for each in found["findings"]}
    assert found["unchecked"] == ["brokers and topics", "the clock of the brokers"]
    found = await doctor({**env, "PULP_POSTGRES": AWAY}, 2)
    assert "postgres-away" in {each["check"] for each in found["findings"]}
    assert found["unchecked"] == ["the database", "its clock"]
    found = await doctor(environment(tmp_path), 2)
    assert {each["check"] for each in found["findings"]} == {"kafka-unset", "postgres-unset"}


async def test_doctor_repeats_no_password(backend: Backend, topics: Topics, tmp_path: Path) -> None:
    parts = {**conninfo_to_dict(backend.postgres), "password": "s3cret-word"}
    parts.pop("passfile", None)
    env = env_of(backend, make_conninfo("", **parts), topics, tmp_path)
    for arguments in (["doctor"], ["doctor", "--output", "yaml"]):
        done = await asyncio.to_thread(pulp_tasks, *arguments, env=env)
        assert done.returncode == 2
        assert "s3cret" not in done.stdout + done.stderr


async def test_a_look_finds_that_postgres_has_restarted(
    backend: Backend, topics: Topics, relay: PostgresRelay, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(Place(kafka=backend.kafka, postgres=relay.conninfo, topics=topics))
    caplog.set_level("INFO", "pulp.preconditions")
    await watch.look()
    assert "postgres-away" not in {each.check for each in watch.report.findings}
    await relay.cut()
    await watch.look()
    await watch.look()
    assert "postgres-away" in {each.check for each in watch.report.findings}
    await relay.open()
    await watch.look()
    assert "postgres-away" not in {each.check for each in watch.report.findings}
    told = [each.getMessage() for each in caplog.records if getattr(each, "check", "") == "postgres-away"]
    assert len(told) == 2  # once when it appeared, once when it was gone
    assert told[1].startswith("mended: Postgres: ")


async def test_a_clock_that_is_off_is_told(backend: Backend, database: str, topics: Topics) -> None:
    """The real clocks agree, so the test notes a broker's clock that is far ahead."""
    place = Place(kafka=None, postgres=database, topics=topics)
    assert not [each for each in (await look(place)).findings if each.check.startswith("clock-")]
    place.broker_clock.note(1000.0, 2000.0, 1001.0)
    with_kafka = Place(kafka=backend.kafka, postgres=None, topics=topics, broker_clock=place.broker_clock)
    (found,) = [each for each in (await look(with_kafka)).findings if each.check == "clock-broker"]
    assert "at least 999.0 s ahead of" in found.wrong


async def test_what_an_append_tells_of_the_brokers_clock(backend: Backend, database: str, topics: Topics) -> None:
    from pulp_events.log import KafkaLog

    from tests.support.events import accepted

    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    try:
        await log.append(accepted(uuid4()), 0)
        offset = log.broker_clock.take()
    finally:
        await log.close()
    assert offset is not None
    assert offset.low_s <= 0.001  # one machine, one clock; the broker's times have milliseconds
    assert offset.high_s >= -0.001
