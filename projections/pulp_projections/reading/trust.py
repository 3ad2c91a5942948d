"""The health of the read model: its generations, and the records that it could not project."""

from datetime import datetime
from typing import Final, NamedTuple

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier

from pulp_projections.schemas import schema_of
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections.reading", "trust.sql")


class GenerationRow(NamedTuple):
    """A generation of the read model."""

    number: int
    status: str
    """`building`, `ready` (to become active), `active`, `retired` (to roll back to) or `verifying` (never active)."""
    created_at: datetime
    activated_at: datetime | None
    verified_at: datetime | None
    percent: float | None
    """How much of the log, as it was when the rebuild began, is projected. None if this role may not see it."""


async def generations(connection: AsyncConnection) -> list[GenerationRow]:
    """All generations, the newest first."""
    rows = await (await connection.execute(_SQL["generations"])).fetchall()
    return [
        GenerationRow(number, status, created, activated, verified, await _percent(connection, number, ends))
        for number, status, created, activated, verified, ends in rows
    ]


async def dead_letters(connection: AsyncConnection) -> int:
    """How many records cannot be projected; those that only wait do not count."""
    [(total,)] = await (await connection.execute(_SQL["dead_letters_count"])).fetchall()
    return int(total)


async def parked_tasks(connection: AsyncConnection) -> int:
    """How many tasks are parked."""
    [(parked,)] = await (await connection.execute(_SQL["parked_count"])).fetchall()
    return int(parked)


async def _percent(connection: AsyncConnection, number: int, ends: list[int] | None) -> float | None:
    if not ends or not sum(ends):
        return 100.0
    query = SQL("select partition, next_offset from {}.positions").format(Identifier(schema_of(number)))
    try:
        async with connection.transaction():
            positions: dict[int, int] = dict(await (await connection.execute(query)).fetchall())
    except (errors.InsufficientPrivilege, errors.UndefinedTable):
        return None  # the API's own role may read only the views, and a generation may be dropped meanwhile
    return 100.0 * sum(min(positions.get(place, 0), end) for place, end in enumerate(ends)) / sum(ends)
