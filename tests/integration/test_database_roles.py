"""A role for each kind of process: every process runs with its own, which refuses what the process does not need."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_deploy.roles import carry_out, plan
from pulp_events.ordered_topic import TopicRange
from pulp_events.reader import Record
from pulp_events.task import Position
from pulp_events.topics import Topics
from pulp_events.webhook_codec import encode_webhook_event, webhook_key
from pulp_events.webhook_events import SubscriptionRemoved
from pulp_processor.dispatching.tables import PostgresTables
from pulp_projections.connection import connect
from pulp_projections.generations import install
from pulp_projections.grants import TABLES, Process
from pulp_projections.reading import queries
from pulp_projections.schemas import VIEWS
from pulp_projections.webhooks import delivering
from pulp_projections.webhooks.delivering import DeliveryReport, DeliveryRow, Superseded, secrets_of
from pulp_projections.webhooks.projector import WebhookProjector
from pulp_projections.webhooks.reading import add_secret, parked_tasks

from tests.conftest import PARTITIONS
from tests.support.api_process import add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.pipeline import LIMIT_S, OPERATIONS
from tests.support.postgres_relay import PostgresRelay
from tests.support.processor_process import installation
from tests.support.site import V3
from tests.support.webhooks import SUBSCRIPTION, created, webhook_event
from tests.support.worker_process import WorkerProcess

PASSWORD = "of no account"


class Roles:
    """The roles of one test, whose names no other test has."""

    def __init__(self, database: str, prefix: str) -> None:
        self.database, self.prefix = database, prefix

    def conninfo(self, process: str) -> str:
        """A process's login; its password comes from a file or an argument."""
        parts = {key: value for key, value in conninfo_to_dict(self.database).items() if not key.startswith("pass")}
        return make_conninfo("", **{**parts, "user": f"{self.prefix}_{process}"})


@pytest.fixture
async def owner(database: str) -> AsyncIterator[AsyncConnection]:
    async with await connect(database, "owner") as connection:
        yield connection


@pytest.fixture
async def roles(database: str, owner: AsyncConnection) -> AsyncIterator[Roles]:
    """Created, with one password for all."""
    made = Roles(database, f"t{uuid4().hex[:10]}")
    found = await plan(owner, made.prefix)
    await carry_out(owner, found, {each.name: PASSWORD for each in found.roles})
    yield made
    await forget(owner, made.prefix)


async def forget(owner: AsyncConnection, prefix: str) -> None:
    """Roles belong to the server, not to the database of a test."""
    cursor = await owner.execute("select rolname from pg_roles where starts_with(rolname, %s)", [f"{prefix}_"])
    for (name,) in await cursor.fetchall():
        await owner.execute(SQL("drop owned by {}").format(Identifier(name)))
        await owner.execute(SQL("drop role {}").format(Identifier(name)))


async def as_role(roles: Roles, process: str) -> AsyncConnection:
    return await connect(make_conninfo(roles.conninfo(process), password=PASSWORD), "test")


REFUSED: dict[str, tuple[str, ...]] = {
    "processor": (
        "select * from users",
        "insert into workers (name, instance_id, host, pid, queues, concurrency, versions, lease_seconds)"
        " values ('x', gen_random_uuid(), 'x', 1, '{}', 1, '{}', 1)",
        "update active_generation set generation = 2",
        "delete from task_events",
        "delete from generation_1.task_events",
        "update generation_1.task_events set actor = 'x'",
        "insert into dispatcher (epoch) values (1)",
        "delete from dispatcher",
        "update holds set worker = 'x'",
        "update reservations set token = 1",
        "drop table claims",
        "create table mine (a integer)",
        "create schema mine",
        "drop schema generation_1 cascade",
        "insert into schema_migrations (name) values ('x')",
        "select * from process_roles",
    ),
    "api": (
        "insert into users (name, password_hash, role) values ('x', 'x', 'admin')",
        "update users set role = 'admin'",
        "update users set name = 'admin'",
        "insert into quotas (name, quota) values ('x', 'rate=1/s')",
        "select * from first_admin",
        "delete from users",
        "update tasks set state = 'successful'",
        "insert into generation_1.task_counts values (0, 'x', 'x', 1)",
        "select * from generation_1.tasks",
        "delete from claims",
        "update dispatcher set epoch = 1",
        "delete from holds",
        "update workers set stopped_at = now()",
        "update active_generation set generation = 2",
        "create table mine (a integer)",
        "create temporary table mine (a integer)",
    ),
    "worker": (
        "select * from users",
        "select password_hash from users",
        "select * from quotas",
        "select * from repositories",
        "select * from dispatcher",
        "select nextval('fencing_tokens')",
        "update holds set worker = 'x'",
        "delete from reservations",
        "select * from task_events",
        "select * from dead_letters",
        "update tasks set state = 'successful'",
        "update generation_1.tasks set state = 'successful'",
        "update active_generation set generation = 2",
        "update event_topic set topic_id = 'x'",
        "delete from operations",
        "create table mine (a integer)",
        "create temporary table mine (a integer)",
    ),
    "reader": (
        "select * from users",
        "select * from workers",
        "select * from claims",
        "select * from operations",
        "select * from schema_migrations",
        "select * from generation_1.tasks",
        "insert into tasks (task_id) values (gen_random_uuid())",
        "create table mine (a integer)",
        "create temporary table mine (a integer)",
    ),
}


@pytest.mark.parametrize("process", REFUSED)
async def test_a_process_is_refused_what_it_does_not_need(roles: Roles, process: str) -> None:
    async with await as_role(roles, process) as connection:
        for statement in REFUSED[process]:
            with pytest.raises(errors.InsufficientPrivilege):
                await connection.execute(statement.encode())


async def test_a_processor_may_let_workers_rest_and_wake_them(roles: Roles) -> None:
    """Only a fleet of more than sixteen idle workers needs it."""
    async with await as_role(roles, "processor") as connection:
        tables = PostgresTables(connection, "one")
        assert await tables.elect()
        await tables.rest([uuid4()])
        assert await tables.wake([uuid4()]) == []
        with pytest.raises(errors.InsufficientPrivilege):
            await connection.execute("update workers set draining = true")


async def test_a_reader_reads_every_view(roles: Roles) -> None:
    async with await as_role(roles, "reader") as connection:
        for view in ("tasks", "task_counts", "task_days", "task_resources", "task_causes", "task_events", "positions"):
            await connection.execute(SQL("select * from {}").format(Identifier(view)))


async def test_a_processor_reads_what_a_schedules_submission_asks_for(roles: Roles) -> None:
    """`publish` requires a sync before it, and `sync` remembers the feed of an earlier one."""
    async with await as_role(roles, "processor") as connection:
        assert await queries.has_run(connection, "sync", "repository:zoo") is False
        assert await queries.remembered(connection, "sync", "repository:zoo", "feed") == []


async def test_the_api_writes_secrets_of_webhooks_and_only_the_processor_reads_them(roles: Roles) -> None:
    subscription_id, secret_id = uuid4(), uuid4()
    async with await as_role(roles, "api") as connection:
        await add_secret(connection, subscription_id, secret_id, b"secret")
        with pytest.raises(errors.InsufficientPrivilege):
            await secrets_of(connection, [secret_id])
    async with await as_role(roles, "processor") as connection:
        assert await secrets_of(connection, [secret_id]) == [b"secret"]


async def test_a_processor_does_all_that_a_deliverer_asks_for(roles: Roles, owner: AsyncConnection) -> None:
    event = created("https://e.example/")
    record = Record(0, 0, 0, webhook_key(event), encode_webhook_event(event))
    task_id = uuid4()
    row = DeliveryRow(Position(0, 0), uuid4(), "type", task_id, "parked", 5, 422, "refused", 1, None)
    report = DeliveryReport(0, None, {0: 1}, {}, [row], [row], None)
    async with await as_role(roles, "processor") as connection:
        projector = WebhookProjector(connection, "s")
        await projector.locate(TopicRange("a", 0, 1))
        await projector.project([record])
        taken = await delivering.take_over(connection, SUBSCRIPTION)
        await delivering.keep(connection, SUBSCRIPTION, taken.epoch, report)
        await delivering.prune(connection, SUBSCRIPTION, most=10)
        assert await delivering.pending_tests(connection, most_each=2) == []
        assert await delivering.origins_of(connection, [task_id]) == {}
        assert await delivering.with_roles(connection, "jo", [task_id]) == set()
        with pytest.raises(Superseded):
            await delivering.keep(connection, SUBSCRIPTION, taken.epoch - 1, report)
    async with await as_role(roles, "api") as connection:
        [(parked, _, offset, _, _)] = await parked_tasks(connection, SUBSCRIPTION, most=None)
    assert (parked, offset) == (task_id, 0)
    event = webhook_event(SubscriptionRemoved())
    async with await as_role(roles, "processor") as connection:
        projector = WebhookProjector(connection, "s")
        await projector.locate(TopicRange("a", 0, 2))
        await projector.project([Record(0, 1, 0, webhook_key(event), encode_webhook_event(event))])
        with pytest.raises(Superseded):
            await delivering.take_over(connection, SUBSCRIPTION)


async def test_another_role_of_the_server_cannot_even_connect(roles: Roles, owner: AsyncConnection) -> None:
    stranger = Roles(roles.database, f"s{uuid4().hex[:10]}")
    name = f"{stranger.prefix}_stranger"
    await owner.execute(SQL("create role {} login password 'x'").format(Identifier(name)))
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            await connect(make_conninfo(stranger.conninfo("stranger"), password="x"), "test")
    finally:
        await owner.execute(SQL("drop role {}").format(Identifier(name)))


async def test_every_table_has_a_decision_on_who_may_use_it(database: str) -> None:
    """A migration that adds a table adds it to `grants.TABLES`, even if only the owner needs it."""
    async with await connect(database, "test") as connection:
        query = """
            select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
        """
        found = {name for (name,) in await (await connection.execute(query)).fetchall()}
        assert found - set(VIEWS) == set(TABLES)
        cursor = await connection.execute("select sequencename from pg_sequences where schemaname = 'public'")
        assert {name for (name,) in await cursor.fetchall()} == {"fencing_tokens"}


async def test_a_table_of_a_later_migration_and_a_later_generation_are_granted(
    roles: Roles, owner: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`install` grants it when a release brings migrations, even if no command for roles is run again."""
    monkeypatch.setitem(TABLES, "later", {Process.WORKER: "select"})
    monkeypatch.setattr(
        "pulp_projections.migrations._migrations", lambda: [("9999_later.sql", "create table later (a integer)")]
    )
    await install(owner, PARTITIONS)
    async with await as_role(roles, "worker") as worker:
        await worker.execute("select * from later")
    async with await as_role(roles, "api") as api:
        with pytest.raises(errors.InsufficientPrivilege):
            await api.execute("select * from later")


async def test_again_it_changes_nothing(roles: Roles, owner: AsyncConnection) -> None:
    acl = """
        select oid::regclass::text, grantee::regrole::text, privilege_type from pg_class, aclexplode(relacl)
         where grantee <> 0 order by 1, 2, 3
    """
    before = await (await owner.execute(acl)).fetchall()
    found = await plan(owner, roles.prefix)
    assert all(each.exists for each in found.roles)
    await carry_out(owner, found, {})
    assert await (await owner.execute(acl)).fetchall() == before
    await (await as_role(roles, "worker")).close()  # its password stays the same


async def test_what_somebody_granted_by_hand_is_taken_back(roles: Roles, owner: AsyncConnection) -> None:
    await owner.execute(SQL("grant all on users to {}").format(Identifier(f"{roles.prefix}_worker")))
    await carry_out(owner, await plan(owner, roles.prefix), {})
    async with await as_role(roles, "worker") as worker:
        with pytest.raises(errors.InsufficientPrivilege):
            await worker.execute("select * from users")


Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def command(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> Command:
    prefix = topics.events.removesuffix(".events")
    env = environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_POSTGRES=database, PULP_TOPIC_PREFIX=prefix)
    return lambda *arguments: pulp_tasks(*arguments, env=env)


async def test_the_command_prints_sql_and_changes_nothing(command: Command, owner: AsyncConnection) -> None:
    prefix = f"t{uuid4().hex[:10]}"
    done = command("database", "roles", "--prefix", prefix, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"create role \"{prefix}_api\" login password '********';" in done.stdout
    assert f'grant select, update (password_hash, last_login_at) on "public"."users" to "{prefix}_api";' in done.stdout
    cursor = await owner.execute("select count(*) from pg_roles where starts_with(rolname, %s)", [prefix])
    assert await cursor.fetchall() == [(0,)]


async def test_the_command_asks_for_passwords_or_says_that_it_cannot(command: Command) -> None:
    done = command("database", "roles", "--prefix", f"t{uuid4().hex[:10]}")
    assert (done.returncode, done.stdout) == (64, "")
    assert "--password-folder" in done.stderr


async def test_a_stack_in_which_each_process_has_its_role(
    backend: Backend, database: str, topics: Topics, tmp_path: Path, command: Command, owner: AsyncConnection
) -> None:
    prefix, passwords = f"t{uuid4().hex[:10]}", tmp_path / "passwords"
    roles = Roles(database, prefix)
    await add_admin(database)
    try:
        done = command("--output", "json", "database", "migrate")
        assert (done.returncode, json.loads(done.stdout)) == (0, {"applied": [], "generation": 1}), done.stderr
        done = command("--output", "json", "database", "roles", "--prefix", prefix, "--password-folder", str(passwords))
        assert done.returncode == 0, done.stderr
        made = {each["process"]: each for each in json.loads(done.stdout)["roles"]}
        assert {name for name, each in made.items() if each["created"]} == {"processor", "api", "worker", "reader"}
        assert {path.name: path.stat().st_mode & 0o777 for path in passwords.iterdir()} == dict.fromkeys(
            ("processor", "api", "worker", "reader"), 0o600
        )
        secrets = [path.read_text().strip() for path in passwords.iterdir()]

        def of(process: str) -> dict[str, str]:
            return {
                "PULP_POSTGRES": roles.conninfo(process),
                "PULP_POSTGRES_PASSWORD_FILE": str(passwords / process),
            }

        with installation(backend.kafka, roles.conninfo("processor"), topics, tmp_path, partitions=PARTITIONS) as site:
            processor = await site.start(**of("processor")).up()
            async with (
                api_process(backend.kafka, "", topics, tmp_path, settings=of("api")) as api,
                worker_of({**site.environment(), **of("worker")}, tmp_path) as worker,
                api.client() as client,
            ):
                await goes_through_life(client)
                schedule = await scheduled(client)
                last_task = await runs(client, schedule, after=None)
                rebuilt = await asyncio.to_thread(command, "rebuild", "start", "--activate")
                assert rebuilt.returncode == 0, rebuilt.stderr
                await goes_through_life(client)  # in the generation that the owner has created
                await runs(client, schedule, after=last_task)
                for said in (processor.output(), api.output(), worker.log.read_text()):
                    assert "permission denied" not in said
                    assert not [each for each in secrets if each in said]
    finally:
        await forget(owner, prefix)


async def test_roles_come_before_the_tables_in_a_database_that_is_new(
    backend: Backend, topics: Topics, tmp_path: Path
) -> None:
    prefix, name = f"t{uuid4().hex[:10]}", f"test_{uuid4().hex[:12]}"
    roles = Roles(make_conninfo(backend.postgres, dbname=name), prefix)
    passwords = tmp_path / "passwords"
    installed = {"PULP_KAFKA": backend.kafka, "PULP_TOPIC_PREFIX": topics.events.removesuffix(".events")}
    as_owner = {"PULP_POSTGRES": roles.conninfo("owner"), "PULP_POSTGRES_PASSWORD_FILE": str(passwords / "owner")}
    async with await connect(backend.postgres, "superuser") as superuser:
        await superuser.execute(SQL("create database {}").format(Identifier(name)))
        try:
            for arguments, login in (
                (["roles", "--prefix", prefix, "--password-folder", str(passwords)], {"PULP_POSTGRES": roles.database}),
                (["migrate"], as_owner),
            ):
                env = environment(tmp_path, **installed, **login)
                done = await asyncio.to_thread(pulp_tasks, "database", *arguments, env=env)
                assert done.returncode == 0, done.stderr
            for process in Process:
                password = (passwords / process.value).read_text().strip()
                async with await connect(
                    make_conninfo(roles.conninfo(process), password=password), "test"
                ) as connection:
                    await connection.execute("select count(*) from tasks")
        finally:
            await superuser.execute(SQL("drop database {} with (force)").format(Identifier(name)))
            await forget(superuser, prefix)


async def test_roles_wait_for_a_server_that_is_still_starting(backend: Backend, database: str, tmp_path: Path) -> None:
    relay, log = PostgresRelay(database), tmp_path / "log"
    await relay.open()
    await relay.cut()
    env = environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_POSTGRES=relay.conninfo)
    with log.open("wb") as output:
        waiting = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pulp_deploy", "database", "roles", "--dry-run", "--no-passwords"),
            env=env,
            stdout=output,
            stderr=output,
        )
    async with asyncio.timeout(LIMIT_S):
        while "waiting for Postgres" not in log.read_text():  # noqa: ASYNC110  # a file cannot be waited for
            await asyncio.sleep(0.02)
        await relay.open()
        assert await waiting.wait() == 0, log.read_text()
    await relay.cut()


async def goes_through_life(client: httpx.AsyncClient) -> None:
    """A task succeeds, another one is cancelled while it runs, and both are listed."""
    echo, patient = await submitted(client, "echo"), await submitted(client, "patient")
    assert (await becomes(client, echo, "completed"))["error"] is None
    await becomes(client, patient, "running")
    assert (await client.patch(patient, json={"state": "canceled"})).status_code in (200, 202, 409)
    await becomes(client, patient, "canceled")
    listed = (await client.get(f"{V3}/tasks/", params={"limit": 100})).json()
    assert {echo, patient} <= {each["pulp_href"] for each in listed["results"]}


async def submitted(client: httpx.AsyncClient, operation: str) -> str:
    answer = await client.post(f"{V3}/tasks/", json={"operation": operation})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task"])


async def scheduled(client: httpx.AsyncClient) -> str:
    """A schedule that runs in two seconds, and every ten seconds from then on."""
    start = datetime.now(UTC) - timedelta(seconds=8)
    body = {"name": "often", "task_name": "echo", "interval_seconds": 10, "start": start.isoformat()}
    answer = await client.post(f"{V3}/task-schedules/", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["pulp_href"])


async def runs(client: httpx.AsyncClient, schedule: str, *, after: str | None) -> str:
    """Wait until the schedule has submitted another task and it has succeeded; returns the task."""
    async with asyncio.timeout(LIMIT_S):
        while (task := (await client.get(schedule)).json()["last_task"]) == after:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.1)
    await becomes(client, task, "completed")
    return str(task)


async def becomes(client: httpx.AsyncClient, href: str, state: str) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT_S):
        while True:
            answer = await client.get(href)
            # Reads may be behind for a moment, even after a switch: both answers say so.
            if answer.status_code == 504 or (answer.status_code == 404 and "pulp-lag" in answer.headers):
                await asyncio.sleep(0.1)
                continue
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            if found["state"] == state:
                return found
            assert found["state"] not in ("failed", "skipped"), found
            await asyncio.sleep(0.05)


@asynccontextmanager
async def worker_of(env: dict[str, str], folder: Path) -> AsyncIterator[WorkerProcess]:
    """A worker in this environment; killed at the end."""
    more = {"PULP_STORAGE": str(folder / "storage"), "PULP_WORKER_MODULES": OPERATIONS, "PULP_WORKER_GRACE_S": "1"}
    (folder / "storage").mkdir()
    with (folder / "worker.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pulp_deploy", "worker"),
            env=environment(folder, **env, **more),
            stderr=output,
            stdout=output,
        )
    made = WorkerProcess(process, folder / "worker.log")
    try:
        await made.says("worker is up")
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
