"""A reactor with a real log, a real database, and a clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from pulp_events.events import Event, Finished
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.reacting.reactor import Reactor
from pulp_processor.reacting.view import PostgresView
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.assigned import assign
from tests.support.backends import Backend
from tests.support.events import accepted, started
from tests.support.projection import execute, project, settings_of

LEASE_S = 600
MARGIN_S = 20
LONG_AGO = timedelta(seconds=LEASE_S + MARGIN_S + 1)
JUST_NOW = timedelta(seconds=1)


@dataclass
class Clock:
    """A monotonic clock that the test advances."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Scene:
    """A reactor whose warm-up is over, with its log, database and clock."""

    settings: Settings
    log: KafkaLog
    connection: AsyncConnection
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.reactor = self.another_reactor()

    def another_reactor(self, owned: set[int] | None = None, log: Any = None, *, is_tracing: bool = False) -> Reactor:
        owned = set(range(PARTITIONS)) if owned is None else owned
        return Reactor(
            log or self.log,
            self.settings.postgres,
            lambda: owned,
            cancel_grace_s=60,
            lease_margin_s=MARGIN_S,
            lease_s=LEASE_S,
            clock_s=self.clock,
            is_tracing=is_tracing,
        )

    async def happens(self, *events: Event, partition: int = 0) -> None:
        """Append the events and project them."""
        for event in events:
            await self.log.append(event, partition)
        await self.projected()

    async def projected(self) -> None:
        await project(self.settings, await self.log.end_offsets())

    async def reacts(self, reactor: Reactor | None = None) -> list[Event]:
        return await (reactor or self.reactor).react(PostgresView(self.connection))

    async def settled(self, reactor: Reactor | None = None) -> None:
        """Run the reactor once, then advance the clock by a lease."""
        await self.reacts(reactor)
        self.clock.now_s += LEASE_S + MARGIN_S + 1

    async def worker(self, name: str, heard: timedelta, *, instance_id: UUID | None = None) -> UUID:
        instance_id = instance_id or uuid4()
        await self.sql(
            "insert into workers (name, instance_id, host, pid, queues, concurrency, versions, lease_seconds,"
            " heartbeat_at) values (%s, %s, 'h', 1, '{default}', 1, '{}', %s, now() - %s)",
            [name, instance_id, LEASE_S, heard],
        )
        return instance_id

    async def claim(self, task_id: UUID, attempt_id: UUID, worker: str, instance_id: UUID, *uses: str) -> UUID:
        """The task is assigned to the worker, with these resources exclusively; its hold."""
        hold_id = await assign(
            self.connection,
            task_id,
            worker=worker,
            instance_id=instance_id,
            attempt_id=attempt_id,
            uses=dict.fromkeys(uses, True),
        )
        await self.sql("update claims set claimed_at = now() - interval '1 hour' where task_id = %s", [task_id])
        return hold_id

    async def runs(self, heard: timedelta, *uses: str, **changed: Any) -> UUID:
        """A task run by a worker whose last heartbeat is this old."""
        task_id, attempt_id, name = uuid4(), uuid4(), f"w-{uuid4()}"
        await self.happens(accepted(task_id, **changed), started(task_id, attempt_id=attempt_id, worker=name))
        await self.claim(task_id, attempt_id, name, await self.worker(name, heard), *uses)
        return task_id

    async def sql(self, statement: str, parameters: Any = ()) -> list[Any]:
        return await execute(self.settings.postgres, statement, parameters)

    async def task(self, task_id: UUID) -> dict[str, Any]:
        async with self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute("select * from tasks where task_id = %s", [task_id])
            (row,) = await cursor.fetchall()
            return row


@asynccontextmanager
async def reactor_scene(backend: Backend, database: str, topics: Topics) -> AsyncIterator[Scene]:
    """A scene in a database and topics of its own."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("create schema test")
        await connection.execute("set search_path = test, public, pg_catalog")
        await postgres_is_up_since(connection, "1 hour")
        yield Scene(settings_of(backend.kafka, database, topics), log, connection)
    await log.close()


async def postgres_is_up_since(connection: AsyncConnection, age: str) -> None:
    """Set the start time that Postgres reports, whatever the age of this run's server."""
    await connection.execute(
        "create or replace function test.pg_postmaster_start_time() returns timestamptz language sql"
        f" as $$select now() - interval '{age}'$$"
    )


def outcome(event: Event) -> tuple[str, str | None]:
    assert isinstance(event.data, Finished)
    return event.data.outcome.value, event.data.error.code if event.data.error else None


async def timeline_is(connection: AsyncConnection, timeline: str) -> None:
    """Simulate a failover to another server."""
    await connection.execute(
        f"create or replace function timeline() returns text language sql as $$select '{timeline}'$$"
    )
