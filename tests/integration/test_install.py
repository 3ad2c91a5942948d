"""A fresh database is made ready once, by whoever comes first."""

import asyncio

import psycopg
from psycopg.sql import SQL, Identifier
from pulp_projections.generations import create_indexes, create_tables, install
from pulp_projections.migrations import migrate
from pulp_projections.schemas import schema_of

KEYS = {"tasks_pkey", "task_causes_pkey"}
"""What a generation has before its indexes are built."""


async def test_many_processes_may_install_at_once(database: str) -> None:
    async def once() -> int:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            return await install(connection, 4)

    assert await asyncio.gather(*(once() for _ in range(8))) == [1] * 8


async def test_a_read_model_from_before_the_rows_of_resources_gets_them(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        wanted = await _indexes(connection, 1)
        await create_tables(connection, 2, 4)
        await connection.execute("insert into generations (generation, status) values (2, 'building')")
        for generation in (1, 2):
            await connection.execute(SQL("set search_path to {}").format(Identifier(schema_of(generation))))
            await _insert_task(connection, 1, "waiting", "{repository:a,repository:b,repository:a}", "{repository:a}")
            await _insert_task(connection, 2, "failed", "{}", "{repository:c}")
            await _insert_task(connection, 3, "failed", "{}", "{}")
            await connection.execute("drop table task_resources cascade")
        await connection.execute("set search_path to generation_1")
        await connection.execute("create index tasks_by_exclusive_resource on tasks using gin (exclusive_resources)")
        await connection.execute("create index tasks_by_shared_resource on tasks using gin (shared_resources)")
        await connection.execute("reset search_path")
        await connection.execute("delete from schema_migrations where name = '0006_resources.sql'")
        assert await migrate(connection) == ["0006_resources.sql"]
        for table in ("public.task_resources", "generation_1.task_resources", "generation_2.task_resources"):
            schema, name = table.split(".")
            cursor = await connection.execute(
                SQL(
                    "select k.resource, k.access::text, t.accepted_offset from {schema}.{name} k"
                    " join {schema}.tasks t using (task_id, accepted_at) order by 1, 2"
                ).format(schema=Identifier(schema), name=Identifier(name))
            )
            assert await cursor.fetchall() == [
                *[("repository:a", "b", 1), ("repository:a", "e", 1)],
                *[("repository:b", "e", 1), ("repository:c", "s", 2)],
            ]
        assert (await _indexes(connection, 1), await _indexes(connection, 2)) == (wanted, KEYS)
        await create_indexes(connection, 2)


async def test_a_read_model_from_before_the_counters_gets_them(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await install(connection, 4)
        for number, state in enumerate(("waiting", "failed", "failed")):
            await _insert_task(connection, number, state)
        await connection.execute("drop view public.task_counts")
        await connection.execute("drop table generation_1.task_counts")
        await connection.execute("delete from schema_migrations where name = '0005_counters.sql'")
        assert await migrate(connection) == ["0005_counters.sql"]
        cursor = await connection.execute("select partition, state, operation, tasks from task_counts order by state")
        assert await cursor.fetchall() == [(1, "failed", "sync", 2), (1, "waiting", "sync", 1)]


async def test_a_history_from_before_its_events_were_counted_gets_the_index_for_it(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        wanted = await _indexes(connection, 1)
        await create_tables(connection, 2, 4)
        await connection.execute("insert into generations (generation, status) values (2, 'building')")
        await connection.execute("drop index generation_1.task_events_without_effect")
        await connection.execute("delete from schema_migrations where name = '0007_history_count.sql'")
        assert await migrate(connection) == ["0007_history_count.sql"]
        assert (await _indexes(connection, 1), await _indexes(connection, 2)) == (wanted, KEYS)
        await create_indexes(connection, 2)


async def test_a_read_model_from_before_reruns_gets_the_table_of_causes(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        wanted = await _indexes(connection, 1)
        await create_tables(connection, 2, 4)
        await connection.execute("insert into generations (generation, status) values (2, 'building')")
        for generation in (1, 2):
            await connection.execute(SQL("drop table {}.task_causes cascade").format(Identifier(schema_of(generation))))
        await connection.execute("delete from schema_migrations where name = '0009_causes.sql'")
        assert await migrate(connection) == ["0009_causes.sql"]
        for table in ("public.task_causes", "generation_1.task_causes", "generation_2.task_causes"):
            schema, name = table.split(".")
            cursor = await connection.execute(
                SQL("select task_id, cause from {}.{}").format(Identifier(schema), Identifier(name))
            )
            assert await cursor.fetchall() == []
        assert (await _indexes(connection, 1), await _indexes(connection, 2)) == (wanted, KEYS)
        await create_indexes(connection, 2)


async def test_repositories_that_were_synced_before_there_were_records_get_one(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await install(connection, 4)
        for number, repository in enumerate(("zoo", "a:b", "zoo")):
            await _insert_task(connection, number, "failed", f"{{repository:{repository}}}")
        await connection.execute(
            "insert into task_resources (resource, access, accepted_at, task_id)"
            " select exclusive_resources[1], 'e', accepted_at, task_id from tasks"
        )
        await connection.execute("drop table repositories, removals")
        await connection.execute("delete from schema_migrations where name = '0014_repositories.sql'")
        assert await migrate(connection) == ["0014_repositories.sql"]
        cursor = await connection.execute("select repo_id, created_by, notes from repositories order by repo_id")
        assert await cursor.fetchall() == [("a:b", "ann", {}), ("zoo", "ann", {})]


async def _insert_task(
    connection: psycopg.AsyncConnection, number: int, state: str, exclusive: str = "{}", shared: str = "{}"
) -> None:
    """A task accepted at an offset, into what the search path names."""
    await connection.execute(
        "insert into tasks (task_id, state, operation, arguments, resources, exclusive_resources,"
        " shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,"
        " accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)"
        " values (gen_random_uuid(), %s, 'sync', '{}', '[]', %s, %s, '{}', 'default', 0, '{}', 'ann',"
        " now(), now(), 1, %s, %s, 1, 0, false, 0, '{}', 'null')",
        [state, exclusive, shared, number, number],
    )


async def _indexes(connection: psycopg.AsyncConnection, generation: int) -> set[str]:
    """Of its tasks and what is written with them."""
    cursor = await connection.execute(
        "select indexname::text from pg_indexes"
        " where schemaname = %s and tablename in ('tasks', 'task_resources', 'task_causes', 'task_events')",
        [schema_of(generation)],
    )
    return {name for (name,) in await cursor.fetchall()}
