"""A fresh database is set up once, by the first process that starts."""

import asyncio
from uuid import UUID

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from pulp_processor.dispatching.tables import PostgresTables
from pulp_projections.connection import connect
from pulp_projections.generations import create_indexes, create_tables, install
from pulp_projections.migrations import MigrationRefused, migrate
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
        again = ["0006_resources.sql", "0018_exclusive_uses.sql"]  # all that is about the rows of resources
        await connection.execute("delete from schema_migrations where name = any (%s)", [again])
        assert await migrate(connection) == again
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
    """A task accepted at an offset, in the schema of the search path."""
    await connection.execute(
        "insert into tasks (task_id, state, operation, arguments, resources, exclusive_resources,"
        " shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,"
        " accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)"
        " values (gen_random_uuid(), %s, 'sync', '{}', '[]', %s, %s, '{}', 'default', 0, '{}', 'ann',"
        " now(), now(), 1, %s, %s, 1, 0, false, 0, '{}', 'null')",
        [state, exclusive, shared, number, number],
    )


async def _indexes(connection: psycopg.AsyncConnection, generation: int) -> set[str]:
    """The indexes of its tasks, and of the tables written with them."""
    cursor = await connection.execute(
        "select indexname::text from pg_indexes"
        " where schemaname = %s and tablename in ('tasks', 'task_resources', 'task_causes', 'task_events')",
        [schema_of(generation)],
    )
    return {name for (name,) in await cursor.fetchall()}


async def _definitions(connection: psycopg.AsyncConnection, generation: int) -> set[str]:
    """The definitions of the indexes of its tasks."""
    cursor = await connection.execute(
        "select indexdef::text from pg_indexes where schemaname = %s and tablename = 'tasks'", [schema_of(generation)]
    )
    return {text for (text,) in await cursor.fetchall()}


async def test_workers_that_claim_for_themselves_have_to_be_stopped_before_there_is_a_dispatcher(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await install(connection, 4)
        await connection.execute("drop table reservations, holds, dispatcher")
        await connection.execute("alter table workers drop column draining")
        await connection.execute("alter table claims drop column hold_id, drop column place, drop column tokens")
        await connection.execute(
            "create table reservations (task_id uuid not null references claims on delete cascade, resource text not null,"
            " exclusive boolean not null, token bigint not null, slot int8range not null, primary key (task_id, resource),"
            " constraint reservations_conflict exclude using gist (resource with =, slot with &&))"
        )
        await connection.execute(
            "insert into workers (name, instance_id, host, pid, queues, operations, declarations, concurrency, versions,"
            " lease_seconds) values ('old', %s, 'h', 1, '{default}', '{sync}', '{}', 1, '{}', 3600)",
            [UUID(int=1)],
        )
        claim = "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition) values (%s, 1, %s, 'old', %s, 0)"
        await connection.execute(claim, [UUID(int=2), UUID(int=3), UUID(int=1)])
        await connection.execute(
            "insert into reservations values (%s, 'repository:a', true, 7, int8range(null, null))", [UUID(int=2)]
        )
        await connection.execute("delete from schema_migrations where name = '0017_dispatch.sql'")
        with pytest.raises(MigrationRefused, match=r"stop them first, then try again: old$"):
            await migrate(connection)
        await connection.execute("update workers set stopped_at = now()")
        assert await migrate(connection) == ["0017_dispatch.sql"]
        cursor = await connection.execute(
            "select h.worker, h.instance_id, c.task_id, c.place, r.resource from holds h join claims c using (hold_id)"
            " join reservations r using (hold_id)"
        )
        assert await cursor.fetchall() == [("old", UUID(int=1), UUID(int=2), 0, "repository:a")]


async def test_a_read_model_from_before_purges_gets_the_columns_and_the_indexes(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        wanted = await _definitions(connection, 1)
        await create_tables(connection, 2, 4)
        await connection.execute("insert into generations (generation, status) values (2, 'building')")
        await connection.execute("drop view public.tasks")
        for generation in (1, 2):
            schema = Identifier(schema_of(generation))
            await connection.execute(SQL("alter table {}.tasks drop purged_at, drop purged_by").format(schema))
        await connection.execute("create index tasks_by_time on generation_1.tasks (accepted_at, task_id)")
        await connection.execute("create index tasks_by_state on generation_1.tasks (state, accepted_at, task_id)")
        await connection.execute(
            "create index tasks_by_operation on generation_1.tasks (operation, accepted_at, task_id)"
        )
        await connection.execute("create view public.tasks as select * from generation_1.tasks")
        later = ["0019_purged.sql", "0027_purged_lists.sql", "0034_purged_by_whom.sql"]
        await connection.execute("delete from schema_migrations where name = any (%s)", [later])
        assert await migrate(connection) == later
        assert await _definitions(connection, 1) == wanted
        assert await _indexes(connection, 2) == KEYS
        for table in ("public.tasks", "generation_2.tasks"):
            schema, name = map(Identifier, table.split("."))
            cursor = await connection.execute(SQL("select purged_at, purged_by from {}.{}").format(schema, name))
            assert await cursor.fetchall() == []
        await create_indexes(connection, 2)


async def test_a_read_model_from_before_the_lists_of_purged_tasks_gets_their_indexes(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        wanted = await _definitions(connection, 1)
        await create_tables(connection, 2, 4)
        await connection.execute("insert into generations (generation, status) values (2, 'building')")
        await connection.execute("set search_path to generation_1")
        for name in ("state", "operation", "tag", "parent", "group", "correlation"):
            await connection.execute(SQL("drop index {}").format(Identifier(f"tasks_purged_by_{name}")))
        for name, column in (("parent", "parent_id"), ("group", "group_id"), ("correlation", "correlation_id")):
            await connection.execute(
                SQL("drop index {0}; create index {0} on tasks ({1}) where {1} is not null").format(
                    Identifier(f"tasks_by_{name}"), Identifier(column)
                )
            )
        await connection.execute(
            "drop index tasks_by_tag; create index tasks_by_tag on tasks using gin (tags) where tags <> '{}'"
        )
        await connection.execute("reset search_path")
        await connection.execute("delete from schema_migrations where name = '0027_purged_lists.sql'")
        assert await migrate(connection) == ["0027_purged_lists.sql"]
        assert await _definitions(connection, 1) == wanted
        assert await _indexes(connection, 2) == KEYS


async def test_a_read_model_from_before_gets_indexes_of_purged_tasks_by_user_queue_and_worker(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        wanted = await _definitions(connection, 1)
        await create_tables(connection, 2, 4)
        await connection.execute("insert into generations (generation, status) values (2, 'building')")
        for name in ("user", "queue", "worker"):
            await connection.execute(SQL("drop index generation_1.{}").format(Identifier(f"tasks_purged_by_{name}")))
        await connection.execute("delete from schema_migrations where name = '0034_purged_by_whom.sql'")
        assert await migrate(connection) == ["0034_purged_by_whom.sql"]
        assert await _definitions(connection, 1) == wanted
        assert await _indexes(connection, 2) == KEYS


async def test_a_database_of_the_release_before_gets_what_resting_workers_need(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("alter table workers drop column resting, drop column listening")
        await connection.execute("delete from schema_migrations where name = '0024_resting.sql'")
        assert await migrate(connection) == ["0024_resting.sql"]
        assert await PostgresTables(connection, "one").workers() == []


@pytest.mark.parametrize("name", ["pulp-processor/0", "pulp-reactor"])
async def test_processors_that_know_no_purges_have_to_be_stopped_before(database: str, name: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("delete from schema_migrations where name = '0019_purged.sql'")
        async with await connect(database, name):
            with pytest.raises(MigrationRefused, match="stop them first, then try again"):
                await migrate(connection)
