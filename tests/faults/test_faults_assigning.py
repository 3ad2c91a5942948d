"""Violations of the rule of one dispatcher are found: planted rows in the tables of dispatch, and planted writers."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from tests.faults.assigning import RECORD, Assigned, Execute, assigned, broken_tables, judge_assigned
from tests.support.assigned import assign
from tests.support.claim_rows import Placed, Row, insert
from tests.support.declared import add_worker
from tests.support.projection import execute as execute_on

FIRST, SECOND = UUID(int=1), UUID(int=2)
USES = {"repository:a": True, "repository:b": False}


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    """A worker of one slot, to which two tasks on the same resources are assigned."""
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        for place, task_id in enumerate((FIRST, SECOND)):
            row = Row("waiting", "sync", "default", 0, place, 0, tuple(USES.items()), (), None)
            await insert(connection, Placed(row, task_id, place), [])
        await add_worker(database, "sync", name="w1")
        [(instance_id,)] = await execute_on(database, "select instance_id from workers")
        await assign(connection, FIRST, SECOND, worker="w1", instance_id=instance_id, uses=USES)
        yield connection


def executor(conninfo: str) -> Execute:
    """Executes statements on a server, as the faults do."""

    def execute(statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return execute


@pytest.mark.usefixtures("connection")
async def test_what_a_dispatcher_assigns_fits_together(database: str) -> None:
    assert broken_tables(executor(database)) == []


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        ("update claims set worker = 'w2' where place = 0", [f"the claim of task {FIRST} has no hold of its worker"]),
        (
            "alter table holds disable trigger all; delete from holds",
            [f"the claim of task {task} has no hold of its worker" for task in (FIRST, SECOND)],
        ),
        ("update claims set place = 0", [f"task {FIRST} comes before {SECOND}", f"task {SECOND} comes before {FIRST}"]),
        (
            "update claims set tokens = '{1,9000000000000000000}' where place = 0",
            [f"task {FIRST} comes before {SECOND}"],
        ),
        (
            "delete from reservations where not exclusive",
            [f"task {task} is claimed, and its hold does not have repository:b" for task in (FIRST, SECOND)],
        ),
        (
            "update reservations set exclusive = false",
            [f"task {task} is claimed, and its hold does not have repository:a" for task in (FIRST, SECOND)],
        ),
        (
            "insert into holds select gen_random_uuid(), worker, instance_id from holds",
            ["worker w1 has 2 holds and 1 slots"],
        ),
    ],
)
async def test_tables_that_do_not_fit_together_are_found(
    connection: AsyncConnection, database: str, plant: str, words: list[str]
) -> None:
    await connection.execute(plant)
    found = sorted(broken_tables(executor(database)))
    assert [what[: len(expected)] for what, expected in zip(found, words, strict=True)] == words


async def test_holds_of_who_is_not_elected_are_found(database: str) -> None:
    execute = executor(database)
    execute(RECORD)
    dispatcher = make_conninfo(database, application_name="pulp-dispatcher")
    async with (
        await AsyncConnection.connect(dispatcher, autocommit=True) as first,
        await AsyncConnection.connect(dispatcher, autocommit=True) as second,
    ):
        elect = "update dispatcher set epoch = epoch + 1"
        await first.execute(elect)
        await assign(first, uuid4())
        await second.execute(elect)
        await assign(second, uuid4())
        assert list(judge_assigned(assigned(execute))) == []
        await assign(first, uuid4())
        [breach] = judge_assigned(assigned(execute))
        assert (breach.promise, breach.where) == ("dispatch", "epoch 3")
        await first.execute(elect)
        await assign(first, uuid4())
        assert len(list(judge_assigned(assigned(execute)))) == 1


async def test_a_worker_may_put_back_holds_only_after_a_failover(database: str) -> None:
    execute = executor(database)
    execute(RECORD)
    worker = make_conninfo(database, application_name="pulp-worker/w1")
    async with await AsyncConnection.connect(worker, autocommit=True) as connection:
        await assign(connection, uuid4())
    [breach] = judge_assigned(found := assigned(execute))
    assert breach.what == "pulp-worker/w1 put back holds, and no other server had taken over"
    assert list(judge_assigned(row._replace(timeline="00000002") for row in found)) == []


def test_an_epoch_that_falls_is_found() -> None:
    rows = [Assigned(epoch, f"s{epoch}", f"s{epoch}", "pulp-dispatcher", "00000001", 1) for epoch in (1, 3, 2, 3)]
    [breach] = judge_assigned(rows)
    assert breach.what == "pulp-dispatcher assigned after epoch 3 had begun"
