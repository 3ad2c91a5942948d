"""Generations of the read model: the schemas `generation_N`, and the views in `public` that show the active one."""

from typing import Final

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier

from pulp_projections import grants
from pulp_projections.migrations import migrate
from pulp_projections.schemas import VIEWS, schema_of
from pulp_projections.sql import load
from pulp_projections.task_columns import SQL_LISTS

_SQL: Final = load("pulp_projections", "read_model.sql", SQL_LISTS)
_DAILY: Final = load("pulp_projections.daily", "daily.sql")


async def create_tables(connection: AsyncConnection, generation: int, partitions: int) -> None:
    """Create the schema and the tables of a generation, without indexes and with every partition's position at 0.

    Grants nothing: call `grants.apply` once the generation is registered.
    """
    async with connection.transaction():
        await connection.execute(SQL("create schema {}").format(Identifier(schema_of(generation))))
        await _use(connection, generation)
        await connection.execute(_SQL["create"])
        await connection.execute(_DAILY["create"])
        await connection.execute(
            "insert into positions (partition, next_offset) select p, 0 from generate_series(0, %s) p",
            [partitions - 1],
        )
        await connection.execute("select public.make_history_months(%s, now())", [generation])


async def create_indexes(connection: AsyncConnection, generation: int) -> None:
    """Build the keys and indexes of a generation's tables."""
    async with connection.transaction():
        await _use(connection, generation)
        await connection.execute(_SQL["index"])


async def show(connection: AsyncConnection, generation: int) -> None:
    """Point the views in `public` at a generation. Call it within the transaction that makes it the active one.

    If a view's columns changed other than by new ones at the end, it is dropped and created again. The roles of the
    processes then get their grants on it again; other roles lose theirs.
    """
    schema = Identifier(schema_of(generation))
    changed = {
        view: SQL("view public.{view} as select * from {schema}.{view}").format(view=Identifier(view), schema=schema)
        for view in VIEWS
    }
    try:
        async with connection.transaction():  # in one go, as readers lock the views too
            await connection.execute(SQL("; ").join(SQL("create or replace ") + each for each in changed.values()))
        return
    except errors.InvalidTableDefinition:
        pass
    for view, definition in changed.items():
        try:
            async with connection.transaction():
                await connection.execute(SQL("create or replace ") + definition)
        except errors.InvalidTableDefinition:
            await connection.execute(SQL("drop view public.{}").format(Identifier(view)))
            await connection.execute(SQL("create ") + definition)
    await grants.apply(connection)


async def active_generation(connection: AsyncConnection) -> int | None:
    """The number of the active generation; None before `install`."""
    cursor = await connection.execute("select generation from active_generation")
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def install(connection: AsyncConnection, partitions: int) -> int:
    """Set up a database: operational tables, and generation 1 if no generation exists. Returns the active generation.

    Idempotent, and safe to call from several processes at once.
    """
    async with connection.transaction():
        if await migrate(connection):
            await grants.apply(connection)
        await connection.execute("lock table generations in share row exclusive mode")
        generation = await active_generation(connection)
        if generation is None:
            generation = 1
            await create_tables(connection, generation, partitions)
            await create_indexes(connection, generation)
            await connection.execute(
                "insert into generations (generation, status, activated_at) values (%s, 'active', now())", [generation]
            )
            await connection.execute("insert into active_generation (generation) values (%s)", [generation])
            await show(connection, generation)
            await grants.apply(connection)
    return generation


async def _use(connection: AsyncConnection, generation: int) -> None:
    await connection.execute(SQL("set local search_path to {}, public").format(Identifier(schema_of(generation))))
