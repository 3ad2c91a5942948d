"""How many event streams may be open, in all and to one address. A user's limit is a quota."""

from collections import Counter
from typing import Final

from pulp_events.errors import PulpError
from pulp_runtime.telemetry.catalog import STREAMS_REFUSED
from pulp_runtime.telemetry.metric import NO_METER, Meter

from pulp_api.front.addresses import site_of
from pulp_api.front.limits import Limits

RETRY_S: Final = 10


class TooManyStreams(PulpError):
    """The address has as many event streams as one may have."""


class NoSeat(PulpError):
    """There are as many event streams as there may be."""


class Seats:
    """Counts the open event streams."""

    def __init__(self, limits: Limits, *, meter: Meter = NO_METER) -> None:
        self._limits = limits
        self._meter = meter
        self._taken = 0
        self._sites: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken

    def take(self, address: str | None) -> "Seat":
        """A seat; give it back after use. Raises `TooManyStreams` or `NoSeat`."""
        site = site_of(address or "")
        limits = self._limits
        if self._sites[site] >= limits.streams_per_address:
            self._meter.count(STREAMS_REFUSED)
            raise TooManyStreams(
                f"{limits.streams_per_address} event streams are open to your address, as many as one may have"
            )
        if self._taken >= limits.streams:
            self._meter.count(STREAMS_REFUSED)
            raise NoSeat(f"{limits.streams} event streams are open, as many as there may be: try again later")
        self._taken += 1
        self._sites[site] += 1
        return Seat(self, site)

    def give_back(self, site: str) -> None:
        """Free a seat of this site."""
        self._taken -= 1
        self._sites[site] -= 1
        if not self._sites[site]:
            del self._sites[site]


class Seat:
    """The seat of one stream."""

    def __init__(self, seats: Seats, site: str) -> None:
        self._seats: Seats | None = seats
        self._site = site

    def give_back(self) -> None:
        """Free the seat; a second call has no effect."""
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.give_back(self._site)
