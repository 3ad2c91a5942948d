"""What was done to the tables in a schedule, done again in memory and on Postgres, step by step, and compared."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from pulp_events.reader import Record
from pulp_events.topics import Topics
from pulp_processor.reacting.view import PostgresView, Seen
from pulp_projections.connection import connect
from pulp_projections.writing.projector import Projector
from pulp_worker import claims as claims_module
from pulp_worker import connection as connection_module
from pulp_worker.claims import Claim, Claims, LetGo, Parted
from pulp_worker.registration import NameInUse, Registration
from pulp_worker.settings import Settings

from tests.model.memory_read_model import MemoryProjector, MemoryReadModel
from tests.model.memory_tables import TIMELINE, MemoryTables, at
from tests.model.simulation import LEASE_S, PARTITIONS

_CLOCK = f"""
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
"""The clock of the schedule instead of the server's, wherever the product's statements name one."""
_SEARCH_PATH = "test, public, pg_catalog"


class Replay:
    """Both sides. Tokens are other numbers there; each resource's must rise in the same order."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._stack = AsyncExitStack()
        self._model = MemoryReadModel(dict.fromkeys(range(PARTITIONS), 0))
        self._tables = MemoryTables(self._model)
        self._tokens: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self._claims: dict[str, Claims] = {}
        self._registrations: dict[str, Registration] = {}
        self._projectors: dict[int, tuple[MemoryProjector, Projector]] = {}

    async def __aenter__(self) -> Self:
        async with await connect(self._database, "test") as connection:
            await connection.execute(_CLOCK)
        self._stack.enter_context(patch.object(connection_module, "connect", _connect))
        self._connection = await self._stack.enter_async_context(await _connect(self._database, "test"))
        self._view = PostgresView(self._connection)
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
        """Do it on both sides; raises `AssertionError` where they differ, or do not as in the schedule."""
        await self._connection.execute("update test.clock set now = %s", [at(now_s)])
        await getattr(self, f"_{name}")(now_s, *arguments, result)
        if name not in ("standings", "situations", "heartbeat"):
            await self._compare_rows()

    def check_tokens(self) -> None:
        """In memory they rise with each reservation; on Postgres in the same order."""
        for pairs in self._tokens.values():
            theirs = [token for _, token in sorted(pairs.items())]
            assert theirs == sorted(theirs)

    async def _compare_rows(self) -> None:
        cursor = await self._connection.execute(
            "select task_id, attempt, attempt_id, worker, instance_id, released_at is not null from claims"
        )
        rows = self._tables.claims.values()
        expected = {
            (row.task_id, row.attempt, row.attempt_id, row.worker, row.instance_id, row.is_released) for row in rows
        }
        assert set(await cursor.fetchall()) == expected
        cursor = await self._connection.execute("select task_id, resource, exclusive from reservations")
        assert set(await cursor.fetchall()) == {(*key, row.exclusive) for key, row in self._tables.reservations.items()}

    async def _project(self, _: float, partition: int, batch: Sequence[Record], __: None) -> None:
        for projector in self._projectors[partition]:
            await projector.project(batch)

    async def _register(
        self, now_s: float, name: str, instance_id: UUID, previous: UUID | None, lease_s: float, result: str | None
    ) -> None:
        registration = self._registration(name, instance_id)
        registration._previous = previous
        try:
            theirs: str | None = await registration.register([])
        except NameInUse:
            theirs = None
        assert theirs == self._tables.register(now_s, name, instance_id, previous, lease_s) == result

    async def _heartbeat(self, now_s: float, name: str, instance_id: UUID, result: str | None) -> None:
        theirs = await self._registration(name, instance_id).heartbeat()
        assert theirs == self._tables.heartbeat(now_s, name, instance_id) == result

    async def _unregister(self, _: float, name: str, instance_id: UUID, __: None) -> None:
        await self._registration(name, instance_id).unregister()
        self._tables.unregister(name, instance_id)

    async def _claim(
        self,
        now_s: float,
        worker: str,
        instance_id: UUID,
        operations: Sequence[str],
        most: int,
        _: object,
        result: list[list[Claim]],
    ) -> None:
        ids = [claim.attempt_id for claims in result for claim in claims]
        with patch.object(claims_module, "uuid4", side_effect=chain(ids, (uuid4() for _ in repeat(None)))):
            theirs = await self._claims_of(worker).claim(operations, most, instance_id)
        ours = self._tables.claim(now_s, worker, instance_id, operations, most, ids)
        assert [list(map(_without_tokens, claims)) for claims in theirs] == [
            list(map(_without_tokens, claims)) for claims in ours
        ]
        assert ours == result
        for one, other in zip(chain(*ours), chain(*theirs), strict=True):
            self._pair(one.tokens, other.tokens)

    async def _standings(self, _: float, claims: Sequence[Claim], result: Any) -> None:
        theirs = await self._claims_of("watching").standings(claims)
        assert theirs == self._tables.standings(claims) == result

    async def _let_go(self, _: float, parting: Sequence[LetGo], result: Parted) -> None:
        theirs = await self._claims_of("parting").let_go(parting)
        assert self._tables.let_go(parting) == result
        assert (theirs.kept, theirs.tokens.keys()) == (result.kept, result.tokens.keys())
        for task_id, tokens in result.tokens.items():
            self._pair(tokens, theirs.tokens[task_id])

    async def _settle(
        self, _: float, worker: str, instance_id: UUID, held: Sequence[Claim], ends: Mapping[int, int], result: bool
    ) -> None:
        theirs = await self._claims_of(worker).settle(held, instance_id, ends)
        assert theirs == self._tables.settle(worker, instance_id, held, ends) == result

    async def _situations(self, now_s: float, known: Mapping[str, Any], result: list[Seen]) -> None:
        theirs = await self._view.situations(known)
        assert sorted(map(_seen, theirs)) == sorted(map(_seen, result))
        assert self._tables.situations(now_s, known) == result

    async def _sweep(self, now_s: float, known: Mapping[str, Any], result: bool) -> None:
        await self._view.sweep(known)
        assert self._tables.sweep(now_s, known) == result

    def _pair(self, ours: Mapping[str, int], theirs: Mapping[str, int]) -> None:
        assert ours.keys() == theirs.keys()
        for resource, token in ours.items():
            self._tokens[resource][token] = theirs[resource]

    def _claims_of(self, worker: str) -> Claims:
        if worker not in self._claims:
            self._claims[worker] = Claims(self._settings(worker))
            self._stack.push_async_callback(self._claims[worker].close)
        return self._claims[worker]

    def _registration(self, worker: str, instance_id: UUID) -> Registration:
        if worker not in self._registrations:
            self._registrations[worker] = Registration(self._settings(worker))
            self._stack.push_async_callback(self._registrations[worker].close)
        self._registrations[worker].instance_id = instance_id
        return self._registrations[worker]

    def _settings(self, worker: str) -> Settings:
        return Settings(
            kafka="", postgres=self._database, topics=Topics.named("t"), storage=Path(), name=worker, lease_s=LEASE_S
        )


async def _connect(conninfo: str, name: str, *, settings: Mapping[str, str] | None = None) -> AsyncConnection:
    """A connection as the product makes it, whose statements find the clock of the schedule."""
    return await connect(conninfo, name, settings={**(settings or {}), "search_path": _SEARCH_PATH})


def _without_tokens(claim: Claim) -> Claim:
    return claim._replace(tokens={})


def _seen(seen: Seen) -> tuple[Any, ...]:
    return (seen.task.task_id, seen.task.state, seen.task.version, *seen[1:])
