"""The operations that may be submitted."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from pulp_events.errors import BadInput
from pulp_projections.reading import queries
from pulp_projections.reading.queries import OperationRow

from pulp_api.logins.auth import Connect
from pulp_api.submitting.arguments import did_you_mean

_KNOWN_S: Final = 1.0
_MOST_KNOWN: Final = 1000


class _Known(NamedTuple):
    row: OperationRow
    ends_s: float


class KnownOperations:
    """Caches each operation for a second, so that most submissions need no query for it.

    For that long a new registration may go unnoticed. An unknown operation is looked up every time.
    """

    def __init__(self, connect: Connect, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock_s = clock_s
        self._known: dict[str, _Known] = {}

    async def get(self, name: str) -> OperationRow:
        """The operation. Raises `BadInput`, which names the known ones."""
        known = self._known.get(name)
        if known is not None and known.ends_s > self._clock_s():
            return known.row
        async with self._connect() as connection:
            row = await queries.operation(connection, name)
            if row is None:
                names = [row.name for row in await queries.operations(connection)]
                known_are = ", ".join(names) or "none: is a worker up?"
                raise BadInput(f"unknown operation {name!r}{did_you_mean(name, names)}; known are: {known_are}")
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[name] = _Known(row, self._clock_s() + _KNOWN_S)
        return row
