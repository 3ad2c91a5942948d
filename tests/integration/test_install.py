"""A fresh database is made ready once, by whoever comes first."""

import asyncio

import psycopg
from pulp_projections.generations import install
from pulp_projections.migrations import migrate


async def test_many_processes_may_install_at_once(database: str) -> None:
    async def once() -> int:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            return await install(connection, 4)

    assert await asyncio.gather(*(once() for _ in range(8))) == [1] * 8


async def test_a_read_model_from_before_the_counters_gets_them(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await install(connection, 4)
        for number, state in enumerate(("waiting", "failed", "failed")):
            await connection.execute(
                "insert into tasks (task_id, state, operation, arguments, resources, exclusive_resources,"
                " shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,"
                " accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)"
                " values (gen_random_uuid(), %s, 'sync', '{}', '[]', '{}', '{}', '{}', 'default', 0, '{}', 'ann',"
                " now(), now(), 1, %s, %s, 1, 0, false, 0, '{}', 'null')",
                [state, number, number],
            )
        await connection.execute("drop view public.task_counts")
        await connection.execute("drop table generation_1.task_counts")
        await connection.execute("delete from schema_migrations where name = '0005_counters.sql'")
        assert await migrate(connection) == ["0005_counters.sql"]
        cursor = await connection.execute("select partition, state, operation, tasks from task_counts order by state")
        assert await cursor.fetchall() == [(1, "failed", "sync", 2), (1, "waiting", "sync", 1)]
