"""Finding the records of a batch whose rows Postgres refuses, whoever writes them and however often."""

from collections.abc import Sequence
from typing import Final

from psycopg import AsyncConnection, errors
from pulp_events.reader import Record

from pulp_projections.stored_tasks import load_tasks
from pulp_projections.writing.batch_fold import BatchFold
from pulp_projections.writing.fold import task_ids
from pulp_projections.writing.large_batch import write_rows

REFUSED: Final = (errors.DataError, errors.ProgramLimitExceeded, errors.StatementTooComplex)
"""The errors that Postgres raises for a row that it cannot store."""


async def find_poison(connection: AsyncConnection, records: Sequence[Record]) -> dict[int, str]:
    """Offset and reason of each record that Postgres refuses, found by halving. Writes in the caller's transaction."""
    try:
        async with connection.transaction():
            wanted = task_ids(records)
            await write_rows(connection, BatchFold(records, wanted, await load_tasks(connection, wanted)))
    except REFUSED as error:
        if len(records) == 1:
            return {records[0].offset: f"Postgres cannot store it: {error.diag.message_primary}"}
        middle = len(records) // 2
        first = await find_poison(connection, records[:middle])
        return {**first, **await find_poison(connection, records[middle:])}
    return {}
