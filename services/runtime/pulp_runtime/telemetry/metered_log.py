"""A log that measures its appends."""

import time

from pulp_events.codec import TYPES, type_of
from pulp_events.errors import BadInput, PulpError
from pulp_events.events import Event
from pulp_events.filters import kind_of
from pulp_events.log import Log, TimedLog
from pulp_events.task import Position

from pulp_runtime.telemetry.catalog import APPEND_FAILURES, APPEND_SECONDS
from pulp_runtime.telemetry.metric import Meter


class MeteredLog:
    """A `Log` that measures how long each append takes, and does the rest as the log that it is given."""

    def __init__(self, log: Log, meter: Meter) -> None:
        self._log = log
        self._meter = meter
        # A series that begins with its first failure has no increase there, and so raises no alert.
        for wire_type in TYPES.values():
            meter.count(APPEND_FAILURES, kind_of(wire_type), by=0)

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        kind = kind_of(type_of(event))
        began_s = time.perf_counter()
        try:
            position = await self._log.append(event, partition)
        except BadInput:  # the event is what is wrong, not the log
            raise
        except PulpError:
            self._meter.count(APPEND_FAILURES, kind)
            raise
        self._meter.observe(APPEND_SECONDS, time.perf_counter() - began_s, kind)
        return position

    async def end_offsets(self) -> dict[int, int]:
        """See `Log.end_offsets`."""
        return await self._log.end_offsets()


class MeteredTimedLog(MeteredLog):
    """The same for a `TimedLog`."""

    def __init__(self, log: TimedLog, meter: Meter) -> None:
        super().__init__(log, meter)
        self._timed = log

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        """See `TimedLog.offsets_since`."""
        return await self._timed.offsets_since(timestamp_ms)
