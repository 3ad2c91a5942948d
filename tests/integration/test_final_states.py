"""The database's `is_final`: it agrees with the contract, and queries by it use the index of any generation."""

from typing import Any, Final

import psycopg
import pytest
from psycopg import AsyncConnection
from pulp_events.task import FINAL, State
from pulp_projections.generations import install

from tests.support.postgres_plans import nodes_of

OLD_INDEX: Final = """
    drop index generation_1.tasks_unfinished;
    create index tasks_unfinished on generation_1.tasks (priority desc, accepted_at, partition, accepted_offset)
        where state in ('waiting', 'running', 'cancelling')"""
"""The index of generations that were filled by releases without `is_final`."""
QUERIES: Final = {
    "this release": "select priority from tasks where not is_final(state) order by priority desc limit 10",
    "the release before": "select priority from tasks where state in ('waiting', 'running', 'cancelling')"
    " order by priority desc limit 10",
    "the claims": "select priority from tasks where state = 'waiting' order by priority desc limit 10",
}


async def test_the_database_and_the_contract_agree_on_what_is_final(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await install(connection, 1)
        cursor = await connection.execute(
            "select state from unnest(%s::text[]) state where is_final(state)", [[state.value for state in State]]
        )
        assert {row[0] for row in await cursor.fetchall()} == set(FINAL)


@pytest.mark.parametrize("generation", ["new", "old"])
@pytest.mark.parametrize("query", QUERIES)
async def test_unfinished_tasks_are_found_by_their_index(database: str, generation: str, query: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await install(connection, 1)
        await _fill(connection)
        if generation == "old":
            await connection.execute(OLD_INDEX)
        plan = await _plan(connection, QUERIES[query])
    [scan] = [node for node in nodes_of(plan) if node["Node Type"].endswith("Scan")]
    assert scan["Index Name"] == "tasks_unfinished"


async def _fill(connection: AsyncConnection) -> None:
    """Many tasks that have ended, and some of each unfinished state."""
    await connection.execute(
        """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
               shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
               accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)
           select gen_random_uuid(), case when n > 300 then 'successful'
                       else (array['waiting', 'running', 'cancelling'])[n % 3 + 1] end, 'sync', '{}', '[]', '{}', '{}', '{}', 'default', n % 7, '{}', 'user:x', now(), now(), 0, n, n, 1, 0,
                  false, 0, '{}', 'null'
             from generate_series(1, 5000) n"""
    )
    await connection.execute("analyze generation_1.tasks")


async def _plan(connection: AsyncConnection, query: str) -> dict[str, Any]:
    cursor = await connection.execute(f"explain (format json) {query}".encode())
    [(found,)] = await cursor.fetchall()
    return dict(found[0]["Plan"])
