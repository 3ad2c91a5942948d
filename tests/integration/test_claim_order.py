"""Which tasks a claim takes: the SQL against a plain reading of the rules, on rows that Hypothesis invents."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection, errors
from pulp_events.topics import Topics
from pulp_projections.sql import load
from pulp_worker.claims import Claims
from pulp_worker.settings import Settings

KNOWN = ["sync", "publish"]
QUEUES = ("default", "slow")
CLAIMS_SQL = load("pulp_worker", "claims.sql")


@dataclass(frozen=True)
class Row:
    """A task, as far as a claim cares. `uses`: (resource, is exclusive), as submitted, perhaps twice the same."""

    state: str
    operation: str
    queue: str
    priority: int
    accepted_s: int
    partition: int
    uses: tuple[tuple[str, bool], ...]
    depends_on: tuple[int, ...]
    claim: str | None
    """None, `held` or `released`."""


rows = st.lists(
    st.builds(
        Row,
        state=st.sampled_from(["waiting"] * 6 + ["running", "cancelling", "successful", "failed"]),
        operation=st.sampled_from(["sync", "sync", "publish", "unknown"]),
        queue=st.sampled_from(["default", "default", "slow", "other"]),
        priority=st.sampled_from([0, 0, 0, 5, -5]),
        accepted_s=st.integers(0, 3),
        partition=st.integers(0, 1),
        uses=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=3).map(tuple),
        depends_on=st.lists(st.integers(0, 20), max_size=2).map(tuple),
        claim=st.sampled_from([None, None, None, "held", "released"]),
    ),
    max_size=14,
)


@dataclass(frozen=True)
class Placed:
    """A row with its place in the log and its id."""

    row: Row
    task_id: UUID
    offset: int

    @property
    def place(self) -> tuple[int, int, int]:
        """Order of acceptance."""
        return (self.row.accepted_s, self.row.partition, self.offset)

    @property
    def modes(self) -> dict[str, bool]:
        """Resource → is exclusive."""
        found: dict[str, bool] = {}
        for resource, exclusive in self.row.uses:
            found[resource] = found.get(resource, False) or exclusive
        return found

    def conflicts(self, other: "Placed") -> bool:
        """Whether both at once are forbidden."""
        return any(mode or other.modes[key] for key, mode in self.modes.items() if key in other.modes)


def holds(task: Placed) -> bool:
    """A held claim has its reservations; whether the task started is not the claim's business."""
    return task.row.claim == "held"


def expected(tasks: list[Placed], most: int, held: list[Placed]) -> list[UUID]:
    """The rules of the design, word by word."""
    state = {index: task.row.state for index, task in enumerate(tasks)}
    waiting = [task for task in tasks if task.row.state == "waiting"]
    runnable = [
        task
        for task in waiting
        if task not in held
        and task.row.operation in KNOWN
        and task.row.queue in QUEUES
        and all(state.get(other) == "successful" for other in task.row.depends_on)
        and not any(task.conflicts(other) for other in held)
        and not any(task.conflicts(other) for other in waiting if other.place < task.place)
    ]
    runnable.sort(key=lambda task: (-task.row.priority, task.place))
    return [task.task_id for task in runnable[:most]]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(database, autocommit=True) as connected:
        yield connected


async def fill(connection: AsyncConnection, tasks: list[Placed]) -> list[Placed]:
    """Write the rows; the tasks whose claims are held (one that conflicts with an earlier one could not be)."""
    held: list[Placed] = []
    await connection.execute("truncate generation_1.tasks, claims cascade")
    for task in tasks:
        await insert(connection, task, [tasks[i].task_id if i < len(tasks) else uuid4() for i in task.row.depends_on])
        if task.row.claim is None or (holds(task) and any(task.conflicts(other) for other in held)):
            continue
        await connection.execute(
            "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition, released_at) values"
            " (%s, 7, gen_random_uuid(), 'other', gen_random_uuid(), 0, %s)",
            [task.task_id, None if holds(task) else "2026-11-24T12:00Z"],
        )
        if not holds(task):
            continue
        held.append(task)
        for number, (resource, exclusive) in enumerate(task.modes.items()):
            slot = "(,)" if exclusive else f"[{task.offset * 10 + number},{task.offset * 10 + number}]"
            await connection.execute(
                "insert into reservations (task_id, resource, exclusive, slot) values (%s, %s, %s, %s::int8range)",
                [task.task_id, resource, exclusive, slot],
            )
    return held


async def insert(connection: AsyncConnection, task: Placed, depends_on: list[UUID]) -> None:
    row = task.row
    await connection.execute(
        """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
               shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
               accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)
           values (%s, %s, %s, '{}', '[]', %s, %s, '{}', %s, %s, %s, 'user:x', %s, now(), %s, %s, 0, 1, 0, false, 0,
               '{}', 'null')""",
        [
            task.task_id,
            row.state,
            row.operation,
            [resource for resource, exclusive in row.uses if exclusive],
            [resource for resource, exclusive in row.uses if not exclusive],
            row.queue,
            row.priority,
            depends_on,
            f"2026-11-24T12:00:{row.accepted_s:02}Z",
            row.partition,
            task.offset,
        ],
    )


def claims_of(database: str, chunks: tuple[int, ...]) -> Claims:
    return Claims(
        Settings(
            kafka="", postgres=database, topics=Topics.named("t"), storage=Path(), name="w", queues=QUEUES, lease_s=60
        ),
        chunks=chunks,
    )


@given(invented=rows, most=st.integers(1, 5), chunks=st.sampled_from([(1,), (2, 4), (3,), (1000,)]))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_a_claim_takes_what_the_rules_say(
    database: str, connection: AsyncConnection, invented: list[Row], most: int, chunks: tuple[int, ...]
) -> None:
    tasks = [Placed(row, uuid4(), offset) for offset, row in enumerate(invented)]
    held = await fill(connection, tasks)
    claims = claims_of(database, chunks)
    try:
        taken = await claims.claim(KNOWN, most, uuid4())
        wanted = expected(tasks, most, held)
        assert [chain[0].task_id for chain in taken] == wanted
        by_id = {task.task_id: task for task in tasks}
        for chain in taken:
            assert set(chain[0].tokens) == set(by_id[chain[0].task_id].modes)
            assert [claim.tokens for claim in chain[1:]] == [{}] * (len(chain) - 1)
            check_chain([by_id[claim.task_id] for claim in chain], tasks, held)
            for claim in chain:
                assert claim.attempt == (8 if by_id[claim.task_id].row.claim == "released" else 1)
    finally:
        await claims.close()


def check_chain(chain: list[Placed], tasks: list[Placed], held: list[Placed]) -> None:
    """Each task of a chain could run as soon as the one before it has ended: as the rules say, one after another."""
    waiting = [task for task in tasks if task.row.state == "waiting"]
    for number, task in enumerate(chain):
        assert (task.modes, task.row.partition) == (chain[0].modes, chain[0].row.partition)
        assert not any(task.conflicts(other) for other in held)
        assert task.task_id in expected([other for other in tasks if other not in chain[:number]], len(tasks), held)
        earlier = [other for other in waiting if other.place < task.place and task.conflicts(other)]
        assert sorted(earlier, key=lambda other: other.place) == chain[:number]


async def test_a_conflicting_reservation_is_refused_by_the_database(connection: AsyncConnection) -> None:
    a, b, c = (Placed(Row("running", "sync", "default", 0, 0, 0, (), (), None), uuid4(), n) for n in range(3))
    await fill(connection, [a, b, c])
    await connection.execute(
        "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition)"
        " select task_id, 1, gen_random_uuid(), 'w', gen_random_uuid(), 0 from tasks"
    )
    reserve = "insert into reservations (task_id, resource, exclusive, slot) values (%s, 'r', %s, %s::int8range)"
    await connection.execute(reserve, [a.task_id, False, "[1,1]"])
    await connection.execute(reserve, [b.task_id, False, "[2,2]"])
    with pytest.raises(errors.ExclusionViolation):
        await connection.execute(reserve, [c.task_id, True, "(,)"])
    await connection.execute("delete from reservations")
    await connection.execute(reserve, [a.task_id, True, "(,)"])
    with pytest.raises(psycopg.IntegrityError):
        await connection.execute(reserve, [b.task_id, False, "[2,2]"])


async def test_a_claim_that_meets_another_one_takes_nothing_and_the_next_one_does(
    database: str, connection: AsyncConnection
) -> None:
    waiting, other = (
        Placed(Row("waiting", "sync", "default", 0, n, 0, (("a", True),), (), None), uuid4(), n) for n in (1, 0)
    )
    await fill(connection, [waiting])
    claims = claims_of(database, (10,))
    async with await AsyncConnection.connect(database) as holder:
        await holder.execute(
            "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition)"
            " values (%s, 1, gen_random_uuid(), 'other', gen_random_uuid(), 0)",
            [other.task_id],
        )
        await holder.execute(
            "insert into reservations (task_id, resource, exclusive, slot) values (%s, 'a', true, '(,)')",
            [other.task_id],
        )
        claiming = asyncio.create_task(claims.claim(KNOWN, 1, uuid4()))
        blocked = (
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(30):
            while await (await connection.execute(blocked)).fetchone() != (1,):  # noqa: ASYNC110  # it cannot be waited for
                await asyncio.sleep(0.01)
        await holder.commit()
        assert await claiming == []
    await connection.execute("delete from claims")
    [[claim]] = await claims.claim(KNOWN, 1, uuid4())
    assert claim.task_id == waiting.task_id
    await claims.close()


async def fill_unseen(connection: AsyncConnection, state: str) -> list[UUID]:
    """Many tasks, with statistics from before: those of a queue are mostly from when it was empty."""
    await connection.execute("truncate generation_1.tasks, claims cascade")
    await connection.execute("analyze generation_1.tasks")
    cursor = await connection.execute(
        """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
               shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
               accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)
           select gen_random_uuid(), %s, 'sync', '{}', '[]', '{}', '{}', '{}', 'default', 0, '{}', 'user:x',
                  timestamptz '2026-11-24T12:00Z' + n * interval '1 ms', now(), 0, n, n, 1, 0, false, 0, '{}', 'null'
             from generate_series(1, 3000) n
        returning task_id""",
        [state],
    )
    return [row[0] for row in await cursor.fetchall()]


async def readings(connection: AsyncConnection, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of the statement's plan that read `tasks`."""
    await connection.execute(CLAIMS_SQL["prepare"])
    explain = "explain (analyze, format json) " + CLAIMS_SQL[statement]
    [(plan,)] = await (await connection.execute(explain.encode(), values)).fetchall()
    return [node for node in nodes_of(plan[0]["Plan"]) if node.get("Relation Name") == "tasks"]


async def most_read(connection: AsyncConnection, statement: str, values: dict[str, Any]) -> int:
    """The rows of `tasks` that the part of the statement reads which reads most."""
    nodes = await readings(connection, statement, values)
    return max(int(node["Actual Rows"] * node["Actual Loops"]) for node in nodes)


async def test_a_claim_reads_only_the_first_of_many_tasks(connection: AsyncConnection) -> None:
    """A plan that trusts statistics reads all that waits each time."""
    await fill_unseen(connection, "waiting")
    wanted = {"queues": ["default"], "operations": KNOWN, "hopeless": [], "most": 40}
    place = {"accepted_at": "2026-01-01T00:00Z", "partition": -1, "offset": -1}
    assert 40 <= await most_read(connection, "waiting", {**wanted, **place}) < 300


async def test_letting_go_reads_only_the_tasks_that_have_ended(connection: AsyncConnection) -> None:
    ended = (await fill_unseen(connection, "successful"))[:20]
    nobody = [None] * len(ended)
    values = {"task_ids": ended, "attempt_ids": ended, "heirs": nobody, "heirs_attempt_ids": nobody}
    assert await most_read(connection, "end", values) == 20
    indexes = {node.get("Index Name") for node in await readings(connection, "end", values)}
    assert indexes == {"tasks_pkey", "tasks_with_dependencies"}  # by state all that have ended would be looked through


async def test_whether_others_come_first_is_read_by_priority(connection: AsyncConnection) -> None:
    """By state all that wait are read, for every claim."""
    await fill_unseen(connection, "waiting")
    values = {"accepted_at": "2026-11-24T12:00:00.040Z", "partition": 0, "offset": 40, "over": 0}
    [node] = await readings(connection, "may_miss", values)
    assert node["Index Name"] == "tasks_unfinished"


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes."""
    yield node
    for child in node.get("Plans", ()):
        yield from nodes_of(child)
