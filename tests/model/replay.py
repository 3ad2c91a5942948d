"""Repeats a schedule's calls to the tables in memory and on Postgres, step by step, and compares the results."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, LiteralString, Self, TypeVar
from unittest.mock import patch
from uuid import UUID

from psycopg import AsyncConnection, Notify
from psycopg.sql import SQL, Identifier
from pulp_events.reader import Record
from pulp_events.task import Task
from pulp_events.topics import Topics
from pulp_processor.dispatching.tables import PLANNING
from pulp_processor.reacting.view import EndCandidate, PostgresView
from pulp_projections import notices as notices_module
from pulp_projections.channels import ASSIGNED, DISPATCH, ELECTION, worker_channel
from pulp_projections.connection import connect
from pulp_projections.writing.projector import Projector
from pulp_worker import connection as connection_module
from pulp_worker.claims import Claim, Claims, Look
from pulp_worker.connection import Connection
from pulp_worker.registration import NameInUse, Registration
from pulp_worker.sdk import Operation
from pulp_worker.settings import Settings

from tests.model.memory_read_model import MemoryProjector, MemoryReadModel
from tests.model.memory_rows import at
from tests.model.memory_tables import TIMELINE, MemoryTables
from tests.model.operating import OPERATIONS
from tests.model.replay_dispatch import DispatcherSteps, Tokens, of_schedules
from tests.model.simulation import LEASE_S, PARTITIONS

_T = TypeVar("_T")
_CLOCK: Final = f"""
    create schema test;
    create table test.clock (now timestamptz not null);
    insert into test.clock values ('epoch');
    create function test.now() returns timestamptz stable language sql as $$select now from test.clock$$;
    create function test.timeline() returns text stable language sql as $$select '{TIMELINE}'$$;
    create function test.pg_postmaster_start_time() returns timestamptz stable language sql
        as $$select '-infinity'::timestamptz$$;
    insert into timelines values ('{TIMELINE}', '-infinity') on conflict (timeline) do update set seen_at = '-infinity';
    alter table workers alter heartbeat_at set default test.now();
    alter table claims alter claimed_at set default test.now();
"""
"""Replaces the server's clock by the schedule's in the product's statements."""
_SEARCH_PATH: Final = "test, public, pg_catalog"
_READING: Final = {"look", "end_candidates", "waiting_after", "some", "moved", "held", "registered", "offered"}
"""Steps after which the rows need not be compared again."""
_HEARD_S: Final = 10.0


class Replay:
    """Both sides. Their tokens differ, but each resource's must rise in the same order."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._stack = AsyncExitStack()
        self._model = MemoryReadModel(dict.fromkeys(range(PARTITIONS), 0))
        self._tables = MemoryTables(
            self._model, lambda channel, payload: self._told.update([_notice(channel, payload)])
        )
        self._tokens = Tokens()
        self._workers: dict[str, tuple[Registration, Claims]] = {}
        self._projectors: dict[int, tuple[MemoryProjector, Projector]] = {}
        self._told: Counter[tuple[str, frozenset[str]]] = Counter()
        """Notifications of the tables in memory."""
        self._heard: Counter[tuple[str, frozenset[str]]] = Counter()
        """Those of Postgres."""

    async def __aenter__(self) -> Self:
        async with await connect(self._database, "test") as connection:
            await connection.execute(_CLOCK)
        for module in (connection_module, notices_module):
            self._stack.enter_context(patch.object(module, "connect", _connect))
        self._connection = await self._stack.enter_async_context(await _connect(self._database, "test"))
        self._view = PostgresView(self._connection)
        dispatching = await self._stack.enter_async_context(
            await _connect(self._database, "dispatcher", settings=PLANNING)
        )
        self._dispatcher_steps = DispatcherSteps(dispatching, self._tables, self._tokens)
        self._listening = await self._stack.enter_async_context(await _connect(self._database, "listening"))
        self._listening.add_notify_handler(self._hear)
        for channel in (DISPATCH, ELECTION):
            await self._listening.execute(SQL("listen {}").format(Identifier(channel)))
        for partition in range(PARTITIONS):
            pair = (MemoryProjector(self._model, partition), Projector(self._database, partition))
            for projector in pair:
                await projector.locate()
            self._stack.push_async_callback(pair[1].close)
            self._projectors[partition] = pair
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def step(self, now_s: float, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        """Call both sides; raises `AssertionError` if they differ from each other or from the schedule."""
        await self._connection.execute("update test.clock set now = %s", [at(now_s)])
        step = getattr(self, f"_{name}", None) or getattr(self._dispatcher_steps, name)
        await step(now_s, *arguments, result)
        if name not in _READING:
            await self._compare_rows()

    @property
    def tasks(self) -> Mapping[UUID, Task]:
        """Those of the read model in memory."""
        return self._model.tasks

    async def check_end(self) -> None:
        """Tokens rise with each reservation in memory, and in the same order on Postgres; so do notifications."""
        self._tokens.check()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_S):
                while self._heard.total() < self._told.total():
                    await self._listening.execute("select")
        missing, surplus = self._told - self._heard, self._heard - self._told
        assert (missing, surplus) == (Counter(), Counter()), f"not heard: {missing}; not told: {surplus}"

    async def _compare_rows(self) -> None:
        tables = self._tables
        await self._compare(
            "select task_id, attempt, attempt_id, worker, instance_id, hold_id, place, released_at is not null from claims",
            [
                (
                    *(one.task_id, one.attempt, one.attempt_id, one.worker, one.instance_id),
                    *(one.hold_id, one.place, one.is_released),
                )
                for one in tables.claims.values()
            ],
        )
        await self._compare("select * from holds", [(hold_id, *hold) for hold_id, hold in tables.holds.items()])
        await self._compare(
            "select hold_id, resource, exclusive from reservations",
            [(*key, row.exclusive) for key, row in tables.reservations.items()],
        )
        await self._compare(
            "select name, instance_id, draining, resting, listening, stopped_at is not null from workers",
            [
                (
                    *(name, row.instance_id, row.is_draining),
                    *(row.may_rest, row.is_listening, row.stopped_at_s is not None),
                )
                for name, row in tables.workers.items()
            ],
        )
        await self._compare("select epoch from dispatcher", [(tables.dispatcher.epoch,)])

    async def _compare(self, query: LiteralString, expected: Iterable[tuple[Any, ...]]) -> None:
        assert set(await (await self._connection.execute(query)).fetchall()) == set(expected)

    async def _project(self, _: float, partition: int, batch: Sequence[Record], __: None) -> None:
        for projector in self._projectors[partition]:
            await projector.project(batch)

    # Workers.

    async def _ping(self, *_: object) -> None:
        """Both sides can be reached."""

    async def _register(
        self,
        now_s: float,
        name: str,
        instance_id: UUID,
        previous: UUID | None,
        lease_s: float,
        slots: int,
        result: str | None,
    ) -> None:
        if name not in self._workers:
            await self._meet(name, slots)
        registration = self._registration(name, instance_id)
        registration._previous = previous
        try:
            theirs: str | None = await registration.register(_OPERATIONS)
        except NameInUse:
            theirs = None
        assert theirs == self._tables.register(now_s, name, instance_id, previous, lease_s, slots) == result

    async def _heartbeat(
        self, now_s: float, name: str, instance_id: UUID, result: tuple[str, bool, bool, bool] | None
    ) -> None:
        registration = self._registration(name, instance_id)
        timeline = await registration.heartbeat()
        told = (registration.has_holds, registration.may_rest, registration.is_listening)
        theirs = None if timeline is None else (timeline, *told)
        assert theirs == self._tables.heartbeat(now_s, name, instance_id) == result

    async def _rest(self, now_s: float, name: str, instance_id: UUID, result: bool) -> None:
        theirs = await self._registration(name, instance_id).rest()
        assert theirs == self._tables.rest(now_s, name, instance_id) == result

    async def _listen(self, now_s: float, name: str, instance_id: UUID, _: None) -> None:
        await self._registration(name, instance_id).listen()
        self._tables.listen(now_s, name, instance_id)

    async def _drain(self, now_s: float, name: str, instance_id: UUID, _: None) -> None:
        await self._registration(name, instance_id).drain()
        self._tables.drain(now_s, name, instance_id)

    async def _unregister(self, now_s: float, name: str, instance_id: UUID, _: None) -> None:
        await self._registration(name, instance_id).unregister()
        self._tables.unregister(now_s, name, instance_id)

    async def _look(
        self,
        now_s: float,
        name: str,
        instance_id: UUID,
        asked: Collection[Claim],
        holds: Collection[UUID],
        result: Look,
    ) -> None:
        theirs = await self._workers[name][1].look(instance_id, asked, holds)
        ours = self._tables.look(now_s, name, instance_id, asked, holds)
        assert _without_tokens(theirs) == _without_tokens(ours) == _without_tokens(result)
        for one, other in zip(ours.assigned, theirs.assigned, strict=True):
            self._tokens.pair(one.tokens, other.tokens)

    async def _end(self, now_s: float, claims: Collection[Claim], result: frozenset[UUID]) -> None:
        theirs = await self._anybody().end(claims)
        assert theirs == self._tables.end(now_s, claims) == result

    async def _release(self, now_s: float, claims: Collection[Claim], _: None) -> None:
        await self._anybody().release(claims)
        self._tables.release(now_s, claims)

    async def _release_others(
        self, now_s: float, name: str, instance_id: UUID, known: Collection[Claim], _: None
    ) -> None:
        await self._workers[name][1].release_others(instance_id, known)
        self._tables.release_others(now_s, name, instance_id, known)

    # The reactor.

    async def _end_candidates(self, now_s: float, known: Mapping[str, Any], result: list[EndCandidate]) -> None:
        theirs = await self._view.end_candidates(known)
        assert sorted(map(_seen, theirs)) == sorted(map(_seen, result))
        assert self._tables.end_candidates(now_s, known) == result

    async def _sweep(self, now_s: float, known: Mapping[str, Any], _: None) -> None:
        await self._view.sweep(known)
        self._tables.sweep(now_s, known)

    def _hear(self, notice: Notify) -> None:
        if notice.channel in (DISPATCH, ELECTION) or notice.payload == ASSIGNED:
            self._heard.update([_notice(notice.channel, notice.payload)])

    async def _meet(self, name: str, slots: int) -> None:
        settings = Settings(
            kafka="",
            postgres=self._database,
            topics=Topics.named("t"),
            storage=Path(),
            name=name,
            lease_s=LEASE_S,
            concurrency=slots,
        )
        connection = Connection(self._database, name, timeout_s=LEASE_S)
        made = self._workers[name] = (Registration(settings, connection), Claims(settings, connection))
        self._stack.push_async_callback(connection.close)
        self._stack.push_async_callback(made[1].close)
        await self._listening.execute(SQL("listen {}").format(Identifier(worker_channel(name))))

    def _registration(self, name: str, instance_id: UUID) -> Registration:
        registration, _ = self._workers[name]
        registration.instance_id = instance_id
        return registration

    def _anybody(self) -> Claims:
        return next(iter(self._workers.values()))[1]


_OPERATIONS: Final = [
    Operation(name=name, cancellable=True, description="", resources=(), tags=None, function=print)
    for name in OPERATIONS
]


async def _connect(conninfo: str, name: str, *, settings: Mapping[str, str] | None = None) -> AsyncConnection:
    """A connection of the product whose statements use the schedule's clock."""
    return await connect(conninfo, name, settings={**(settings or {}), "search_path": _SEARCH_PATH})


def _notice(channel: str, payload: str) -> tuple[str, frozenset[str]]:
    return channel, frozenset(payload.split())


def _without_tokens(look: Look) -> Look:
    assigned = [claim._replace(tokens={}) for claim in look.assigned]
    return look._replace(assigned=assigned, positions=of_schedules(look.positions))


def _seen(seen: EndCandidate) -> tuple[Any, ...]:
    return (seen.task.task_id, seen.task.state, seen.task.version, *seen[1:])
