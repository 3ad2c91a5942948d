"""Which tasks a claim takes: the SQL against a plain reading of the rules, on rows that Hypothesis invents."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
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
from pulp_worker.claims import PLANNING, Claims
from pulp_worker.settings import Settings

from tests.support.claim_rows import KNOWN, QUEUES, Placed, Row, fill, rows

CLAIMS_SQL = load("pulp_worker", "claims.sql")


Pairs = frozenset[tuple[str, str]]
"""Queues and operations that other workers can run."""
MINE: Pairs = frozenset((queue, operation) for queue in QUEUES for operation in KNOWN)


def is_passed_over(task: Placed, tasks: list[Placed], served: Pairs) -> bool:
    """Nobody can run it, or something that waits and that it depends on, however far."""
    seen: list[Placed] = []
    found = [task]
    while found:
        each = found.pop()
        seen.append(each)
        if (each.row.queue, each.row.operation) not in served | MINE:
            return True
        others = [tasks[index] for index in each.row.depends_on if index < len(tasks)]
        found += [other for other in others if other.row.state == "waiting" and other not in seen]
    return False


def expected(
    tasks: list[Placed], most: int, held: list[Placed], served: Pairs, *, gone: Sequence[Placed] = ()
) -> list[UUID]:
    """The rules of the design, word by word. All were accepted long ago; some are `gone` meanwhile."""
    state = {index: task.row.state for index, task in enumerate(tasks)}
    waiting = [
        task
        for task in tasks
        if task.row.state == "waiting" and task not in gone and not is_passed_over(task, tasks, served)
    ]
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


def claims_of(database: str, chunks: tuple[int, ...]) -> Claims:
    return Claims(
        Settings(
            kafka="", postgres=database, topics=Topics.named("t"), storage=Path(), name="w", queues=QUEUES, lease_s=60
        ),
        chunks=chunks,
    )


@given(
    invented=rows,
    most=st.integers(1, 5),
    chunks=st.sampled_from([(1,), (2, 4), (3,), (1000,)]),
    served=st.frozensets(st.sampled_from([("other", "sync"), ("other", "publish"), ("default", "unknown")])),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_a_claim_takes_what_the_rules_say(
    database: str, connection: AsyncConnection, invented: list[Row], most: int, chunks: tuple[int, ...], served: Pairs
) -> None:
    await serve(connection, {*served, *MINE})  # the worker that asks has registered, as any other
    tasks = [Placed(row, uuid4(), offset) for offset, row in enumerate(invented)]
    held = await fill(connection, tasks)
    claims = claims_of(database, chunks)
    try:
        taken = await claims.claim(KNOWN, most, uuid4())
        wanted = expected(tasks, most, held, served)
        assert [chain[0].task_id for chain in taken] == wanted
        by_id = {task.task_id: task for task in tasks}
        for chain in taken:
            assert set(chain[0].tokens) == set(by_id[chain[0].task_id].modes)
            assert [claim.tokens for claim in chain[1:]] == [{}] * (len(chain) - 1)
            check_chain([by_id[claim.task_id] for claim in chain], tasks, held, served)
            for claim in chain:
                assert claim.attempt == (8 if by_id[claim.task_id].row.claim == "released" else 1)
    finally:
        await claims.close()


async def serve(connection: AsyncConnection, pairs: Iterable[tuple[str, str]]) -> None:
    """A live worker for each."""
    await connection.execute("truncate workers")
    for queue, operation in pairs:
        await connection.execute(
            "insert into workers (name, instance_id, host, pid, queues, operations, concurrency, versions,"
            " lease_seconds) values (%s, gen_random_uuid(), 'h', 1, %s, %s, 1, '{}', 60)",
            [f"{queue}-{operation}", [queue], [operation]],
        )


def check_chain(chain: list[Placed], tasks: list[Placed], held: list[Placed], served: Pairs) -> None:
    """Each task of a chain could run as soon as the one before it has ended: as the rules say, one after another."""
    waiting = [task for task in tasks if task.row.state == "waiting" and not is_passed_over(task, tasks, served)]
    for number, task in enumerate(chain):
        assert (task.modes, task.row.partition) == (chain[0].modes, chain[0].row.partition)
        assert not any(task.conflicts(other) for other in held)
        assert task.task_id in expected(tasks, len(tasks), held, served, gone=chain[:number])
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
    for name, value in PLANNING.items():
        await connection.execute("select set_config(%s, %s, false)", [name, value])
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
    wanted = {"queues": ["default"], "operations": KNOWN, "hopeless": [], "most": 40, "unserved_s": 300, "full": []}
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
    mine = {"queues": ["default"], "operations": KNOWN, "unserved_s": 300}
    values = {"accepted_at": "2026-11-24T12:00:00.040Z", "partition": 0, "offset": 40, "over": 0, **mine}
    [node] = await readings(connection, "may_miss", values)
    assert node["Index Name"] == "tasks_unfinished"


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes."""
    yield node
    for child in node.get("Plans", ()):
        yield from nodes_of(child)
