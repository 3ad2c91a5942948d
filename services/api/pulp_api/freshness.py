"""How fresh a read is: it waits for the projection, within bounds, and says by how many events it may be behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from psycopg import AsyncConnection
from pulp_events.errors import LogError, PositionNotReached, ReadError, ReadModelUnavailable
from pulp_events.log import TimedLog
from pulp_events.task import Position
from pulp_projections.reading import queries
from pulp_projections.reading.positions import Positions, last_events

from pulp_api.logins.auth import Connect

CATCH_UP_S: Final = 1.0
"""How long a read waits for the projection to reach the end that the log had when the request came."""
LEAST_S: Final = 5.0
"""How long a read waits for the position that the client asks for."""
UNREADABLE: Final = (ReadError, psycopg.Error)
"""The errors of a read while Postgres is away or the projection is behind."""
_UNKNOWN: Final = "unknown"


class Freshness:
    """Waits for the projection. A lag is a number of events as text, `unknown` while Kafka is away, None for none."""

    def __init__(self, log: TimedLog, positions: Positions, connect: Connect) -> None:
        self._log = log
        self._positions = positions
        self._connect = connect

    async def catch_up(self) -> str | None:
        """Wait until the projection reaches the end that the log has now; the lag that is left after `CATCH_UP_S`."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + CATCH_UP_S
        try:
            async with asyncio.timeout_at(deadline):
                ends = await self._log.end_offsets()
        except (LogError, TimeoutError):
            return _UNKNOWN  # reads still answer while Kafka is away, and say that they may be stale
        try:
            await self._positions.reach(ends, max(0.0, deadline - clock.time()))
        except ReadError:
            now = self._positions.current()
            return str(sum(max(0, end - now.get(partition, 0)) for partition, end in ends.items()))
        return None

    async def show(self, written: Mapping[int, int]) -> None:
        """Wait for these next offsets by partition, at most for `CATCH_UP_S`: a list answers in any case."""
        if written:
            with contextlib.suppress(ReadError):
                await self._positions.reach(written, CATCH_UP_S)

    async def reach(self, least: Mapping[int, int]) -> None:
        """Wait for these next offsets by partition. Raises `PositionNotReached` after `LEAST_S`."""
        await self._positions.reach(least, LEAST_S)

    @asynccontextmanager
    async def fresh_connection(
        self, least: Mapping[int, int] | None
    ) -> AsyncIterator[tuple[AsyncConnection, str | None]]:
        """A connection that shows everything the log had when the call came, and the lag. `least` is as in `reach`."""
        if least is not None:
            await self.reach(least)
        lag = await self.catch_up()
        async with self._connect() as connection:
            if least is not None:
                check_shown(await queries.positions(connection), least)
            yield connection, lag

    async def effect_of(self, position: Position, timeout_s: float) -> str | None:
        """The effect of an event. None if the projection has not passed it in time, or if Postgres is away."""
        try:
            await self._positions.reach({position.partition: position.offset + 1}, timeout_s)
            async with self._connect() as connection:
                return await queries.effect_of(connection, position)
        except UNREADABLE:
            return None


def check_shown(shown: Mapping[int, int], least: Mapping[int, int] | None) -> None:
    """Raises `PositionNotReached` if a read at these positions is older than `least`.

    Commits that this process was notified of do not count: a server that took over may lack the last ones.
    """
    if any(shown.get(partition, 0) < offset for partition, offset in (least or {}).items()):
        behind_of = {partition: shown.get(partition, 0) for partition in least or {}}
        raise PositionNotReached(
            f"the projection is at {last_events(behind_of)}, before {last_events(least or {})}: try again later"
        )


def behind(lag: str) -> ReadModelUnavailable:
    """The error for a task that may exist but is not projected yet."""
    return ReadModelUnavailable(
        f"the projection is behind the log (events behind: {lag}), so it is not known whether the task is there: try"
        " again later"
    )
