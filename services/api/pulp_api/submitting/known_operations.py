"""Which operations may be submitted."""

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
    """Reads operations, each again after a second: a busy client does not pay for it at every submission.

    So long one that a worker has registered anew is taken as it was. One that is not known is looked for every time.
    """

    def __init__(self, connect: Connect, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock_s = clock_s
        self._known: dict[str, _Known] = {}

    async def get(self, name: str) -> OperationRow:
        """The operation. Raises `BadInput`, which names those that there are."""
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
