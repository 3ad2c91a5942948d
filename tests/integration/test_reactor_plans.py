"""A round of the reactor reads only what is due, however many tasks wait.

The statistics date from when the tables were empty, as a queue's nearly always are.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from psycopg import AsyncConnection
from pulp_processor.reacting.view import _SQL
from pulp_projections.migrations import migrate
from pulp_projections.plans import ONLY_BY_KEYS

from tests.support.postgres_plans import nodes_of

MANY: Final = 3000
FEW: Final = 20
KNOWN: Final[dict[str, Any]] = {
    "owned": [0],
    "trusted": [0],
    "warm_up_s": 1e6,
    "lease_s": 10,
    "margin_s": 1,
    "grace_s": 60,
    "most": 200,
    "under_way": [],
}


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    """A connection like the reactor's, with many waiting tasks: between two attempts, with a distant deadline."""
    async with await AsyncConnection.connect(database, autocommit=True) as connected:
        await connected.execute("analyze generation_1.tasks, claims, workers")
        await connected.execute(
            """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
                   shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
                   accepted_offset, last_offset, version, attempt, failed_attempts, cancellable, sequence, progress,
                   result, deadline_seconds, retry_at)
               select gen_random_uuid(), 'waiting', 'sync', '{}', '[]', '{}', '{}', '{}', 'default', 0, '{}', 'user:x',
                      now(), now(), 0, n, n, 1, 1, 1, false, 0, '{}', 'null', 3600, now() + interval '1 hour'
                 from generate_series(1, %s) n""",
            [MANY],
        )
        for setting, value in ONLY_BY_KEYS.items():
            await connected.execute("select set_config(%s, %s, false)", [setting, value])
        yield connected


async def read(connection: AsyncConnection, name: str) -> dict[str, int]:
    """How many rows of each table the statement reads. It is run."""
    explain = "explain (analyze, format json) " + _SQL[name]
    [(plan,)] = await (await connection.execute(explain.encode(), KNOWN)).fetchall()
    found: dict[str, int] = {}
    for node in nodes_of(plan[0]["Plan"]):
        if "scan" in node["Node Type"].lower() and node.get("Relation Name") in {"tasks", "claims"}:
            rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            found[node["Relation Name"]] = found.get(node["Relation Name"], 0) + int(rows)
    return found


async def test_tasks_whose_deadline_has_not_come_are_not_read(connection: AsyncConnection) -> None:
    assert (await read(connection, "end_candidates"))["tasks"] == 0
    await connection.execute(
        "update generation_1.tasks set deadline_seconds = 1, accepted_at = now() - interval '2 s'"
        " where accepted_offset <= %s",
        [FEW],
    )
    assert (await read(connection, "end_candidates"))["tasks"] == FEW
    cursor = await connection.execute(_SQL["end_candidates"], KNOWN)
    assert len(await cursor.fetchall()) == FEW


async def test_claims_of_tasks_between_two_attempts_are_read_once(connection: AsyncConnection) -> None:
    await connection.execute(
        "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition, released_at)"
        " select task_id, 1, gen_random_uuid(), 'w1', gen_random_uuid(), 0, now() from generation_1.tasks"
    )
    assert (await read(connection, "sweep"))["tasks"] == MANY
    assert await read(connection, "sweep") == {"claims": 0, "tasks": 0}


async def test_of_claims_only_those_of_tasks_that_run_are_read(connection: AsyncConnection) -> None:
    await connection.execute(
        "update generation_1.tasks set state = 'running', attempt_id = gen_random_uuid(), started_at = now(), retry_at = null"
        " where accepted_offset <= %s",
        [FEW],
    )
    await connection.execute(
        "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition, hold_id)"
        " select task_id, 1, coalesce(attempt_id, gen_random_uuid()), 'w1', gen_random_uuid(), 0, gen_random_uuid()"
        "   from generation_1.tasks"
    )
    assert await read(connection, "end_candidates") == {"tasks": FEW, "claims": FEW}


async def test_an_existing_generation_gets_the_index_of_deadlines(connection: AsyncConnection) -> None:
    query = "select indexname, indexdef from pg_indexes where schemaname = 'generation_1' and indexname ~ 'deadline'"
    made_new = await (await connection.execute(query)).fetchall()
    assert [name for name, _ in made_new] == ["tasks_by_deadline"]
    await connection.execute("drop index generation_1.tasks_by_deadline")
    await connection.execute("create index tasks_with_deadlines on generation_1.tasks (partition)")
    await connection.execute("delete from schema_migrations where name = '0025_due.sql'")
    assert await migrate(connection) == ["0025_due.sql"]
    assert await (await connection.execute(query)).fetchall() == made_new
