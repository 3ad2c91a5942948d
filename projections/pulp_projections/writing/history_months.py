"""The monthly parts of the history, which the writer of a batch creates before the batch needs them."""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from pulp_events.reader import Record

from pulp_projections.sql import load
from pulp_projections.times import clamped_ms, moment

_SQL: Final = load("pulp_projections.writing", "history_months.sql")
_PAUSE_S: Final = 30.0
"""The pause after a failed try, when readers were using the part that holds the rows in the meantime."""


class Month(NamedTuple):
    """A month in UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, timestamp_ms: int) -> "Month":
        """The month of a broker's time."""
        found = moment(clamped_ms(timestamp_ms))
        return cls(found.year, found.month)


class HistoryMonths:
    """Creates the parts for the months of batches. For one connection's batches, of any generation."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._generation = 0
        self._made: set[Month] = set()
        self._next_try_s = 0.0

    async def prepare(self, connection: AsyncConnection, generation: int, records: Sequence[Record]) -> None:
        """Create the parts for a batch, outside of its transaction; nearly always they exist.

        It looks only at the first and the last record. The rows of a month between them, or of one whose part
        cannot be created now, go to the part for the rest until theirs is created.
        """
        if generation != self._generation:
            self._generation, self._made, self._next_try_s = generation, set(), 0.0
        for record in (records[0], records[-1]):
            month = Month.of(record.timestamp_ms)
            if month not in self._made and self._clock_s() >= self._next_try_s:
                values = {"generation": generation, "time": moment(clamped_ms(record.timestamp_ms))}
                [(is_made,)] = await (await connection.execute(_SQL["make"], values)).fetchall()
                if is_made:
                    self._made.add(month)
                else:
                    self._next_try_s = self._clock_s() + _PAUSE_S
