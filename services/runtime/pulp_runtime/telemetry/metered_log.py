"""Logs that measure their appends."""

import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import Final, Generic, Protocol, TypeVar

from pulp_events.codec import TYPES, type_of
from pulp_events.errors import BadInput, PulpError
from pulp_events.events import Event
from pulp_events.filters import kind_of
from pulp_events.log import Log, TimedLog
from pulp_events.task import Position

from pulp_runtime.telemetry.catalog import APPEND_FAILURES, APPEND_SECONDS
from pulp_runtime.telemetry.metric import Meter

T = TypeVar("T")


class _Appends:
    """The measures of one log."""

    def __init__(self, meter: Meter, kinds: Iterable[str]) -> None:
        self._meter: Final = meter
        # A series that begins with its first failure has no increase there, and so raises no alert.
        for kind in kinds:
            meter.count(APPEND_FAILURES, kind, by=0)

    async def measure(self, kind: str, appending: Awaitable[T]) -> T:
        began_s = time.perf_counter()
        try:
            position = await appending
        except BadInput:  # the event is what is wrong, not the log
            raise
        except PulpError:
            self._meter.count(APPEND_FAILURES, kind)
            raise
        self._meter.observe(APPEND_SECONDS, time.perf_counter() - began_s, kind)
        return position


class MeteredLog:
    """A `Log` that measures how long each append takes, and does the rest as the log that it is given."""

    def __init__(self, log: Log, meter: Meter) -> None:
        self._log = log
        self._appends = _Appends(meter, map(kind_of, TYPES.values()))

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        return await self._appends.measure(kind_of(type_of(event)), self._log.append(event, partition))

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


class _WithData(Protocol):
    @property
    def data(self) -> object: ...


E = TypeVar("E", bound=_WithData)
E_contra = TypeVar("E_contra", bound=_WithData, contravariant=True)


class _OfOnePartition(Protocol[E_contra]):
    async def append(self, event: E_contra) -> int: ...


class MeteredOrderedLog(Generic[E]):
    """The same for the log of schedules or of subscriptions; `type` is such as `schedule.due`."""

    def __init__(self, log: _OfOnePartition[E], types: Mapping[type, str], meter: Meter) -> None:
        """`types` are the wire types of its events, by the class of their data."""
        self._log = log
        self._kinds = {data: kind_of(literal).removeprefix("org.pulpproject.") for data, literal in types.items()}
        self._appends = _Appends(meter, self._kinds.values())

    async def append(self, event: E) -> int:
        """Append the event as the log does that it is given."""
        return await self._appends.measure(self._kinds[type(event.data)], self._log.append(event))
