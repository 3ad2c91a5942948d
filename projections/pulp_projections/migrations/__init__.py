"""Numbered plain-SQL migrations of the operational tables (`NNNN_name.sql` in this folder).

Read models have none, since a changed shape is a new generation; but they may add a table besides the others.
"""

from importlib.resources import files
from typing import LiteralString

from psycopg import AsyncConnection, errors
from pulp_events.errors import PulpError

from pulp_projections import locks


class MigrationRefused(PulpError):
    """An operator must do something before the tables can be brought up to date."""

    def __init__(self, name: str, error: errors.RaiseException) -> None:
        super().__init__(f"the migration {name.removesuffix('.sql')} was not applied: {error.diag.message_primary}")


async def migrate(connection: AsyncConnection) -> list[str]:
    """Bring the operational tables up to date; the names of the migrations that ran, in order.

    Safe to call from many processes at once: one runs them, under an advisory lock, the others wait. All that are
    missing run in one transaction. A database newer than this program is left alone. Raises `MigrationRefused`, which
    says what must be done first; then none has run.
    """
    ran: list[str] = []
    async with connection.transaction():
        await locks.take_until_commit(connection, locks.MIGRATIONS)
        await connection.execute(
            "create table if not exists schema_migrations"
            " (name text primary key, applied_at timestamptz not null default now())"
        )
        cursor = await connection.execute("select name from schema_migrations")
        done = {row[0] for row in await cursor.fetchall()}
        for name, statements in _migrations():
            if name not in done:
                try:
                    await connection.execute(statements)
                except errors.RaiseException as error:
                    raise MigrationRefused(name, error) from error
                await connection.execute("insert into schema_migrations (name) values (%s)", [name])
                ran.append(name)
    return ran


def names() -> list[str]:
    """The migrations that this release has, in order."""
    return sorted(item.name for item in files(__package__).iterdir() if item.name.endswith(".sql"))


def _migrations() -> list[tuple[str, LiteralString]]:
    folder = files(__package__)
    return [(name, folder.joinpath(name).read_text(encoding="utf-8")) for name in names()]
