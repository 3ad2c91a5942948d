"""Fills read models by SQL, as the projector would have."""

from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from pulp_projections.sql import load

_SQL: Final = load("benchmarks", "fill.sql")


async def fill(database: str, tasks: int, *, purged: int = 0) -> None:
    """Write this many finished tasks, once, into tables whose indexes are built last; the oldest are purged.

    Nothing else may happen meanwhile.
    """
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        indexes = await (await connection.execute(_SQL["indexes"])).fetchall()
        for name, _ in indexes:
            await connection.execute(SQL("drop index generation_1.{}").format(Identifier(name)))
        await connection.execute(_SQL["tasks"], {"tasks": tasks, "purged": purged})
        await connection.execute(_SQL["counts"])
        await connection.execute(_SQL["resources"])
        for _, definition in indexes:
            await connection.execute(definition.encode())
        await connection.execute(_SQL["analyze"])


async def fill_history(database: str, events: int) -> UUID:
    """Write this many progress events of one existing task; return its id."""
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        row = await (await connection.execute("select task_id from tasks order by task_id limit 1")).fetchone()
        assert row is not None
        await connection.execute(_SQL["history"], {"task_id": row[0], "events": events})
        await connection.execute(_SQL["version"], {"task_id": row[0], "events": events})
        await connection.execute("vacuum analyze generation_1.task_events")
        return UUID(str(row[0]))
