"""Finding the records of a batch whose rows Postgres refuses at every attempt."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from psycopg import AsyncConnection, errors
from pulp_events.reader import Record

from pulp_projections.stored_tasks import load_tasks
from pulp_projections.writing.batch_fold import BatchFold
from pulp_projections.writing.fold import going_on, task_ids
from pulp_projections.writing.large_batch import FREE_LETTERS, write_rows
from pulp_projections.writing.parking import NOBODY, Parked

REFUSED: Final = (errors.DataError, errors.ProgramLimitExceeded, errors.StatementTooComplex)
"""The errors that Postgres raises for a row that it cannot store."""


class FoundPoison(NamedTuple):
    """The result of `find_poison`."""

    poison: dict[int, str]
    """Offset and reason of each record that Postgres refuses."""
    parked: Parked
    """The tasks that are parked after the records, the refused ones set aside."""


async def find_poison(connection: AsyncConnection, records: Sequence[Record], parked: Parked = NOBODY) -> FoundPoison:
    """The records that Postgres refuses, including those that have waited until now, found by bisection.

    It writes in the caller's transaction, which must be rolled back.
    """
    wanted = task_ids(records)
    known = await load_tasks(connection, wanted)
    batch = BatchFold(records, wanted, known, parked=parked)
    try:
        async with connection.transaction():
            await write_rows(connection, batch)
        return FoundPoison({}, batch.parked)
    except REFUSED as error:
        if len(records) == 1:
            poison = await _waiting_poison(connection, records[0], parked)
            poison = poison or {records[0].offset: f"Postgres cannot store it: {error.diag.message_primary}"}
            folded = BatchFold(records, wanted, known, refused=poison, parked=parked)
            folded.rows()
            return FoundPoison(poison, folded.parked)
    middle = len(records) // 2
    first = await find_poison(connection, records[:middle], parked)
    second = await find_poison(connection, records[middle:], first.parked)
    return FoundPoison({**first.poison, **second.poison}, second.parked)


async def _waiting_poison(connection: AsyncConnection, act: Record, parked: Parked) -> dict[int, str]:
    """The same among waiting records that an event releases."""
    letters = going_on(act, parked)
    if not letters:
        return {}
    async with connection.transaction(force_rollback=True):
        offsets = [letter.record.offset for letter in letters]
        await connection.execute(FREE_LETTERS, {"partition": act.partition, "offsets": offsets})
        return (await find_poison(connection, [letter.record for letter in letters])).poison
