"""All connections of the server: their number, the memory that they hold, and which ones are dropped beyond a limit.

Connections that do nothing are dropped first: a silent or slow client never keeps an honest one out.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from heapq import nsmallest
from operator import itemgetter
from typing import Final, Protocol

from pulp_api.fairness.turns import Clients, Turns
from pulp_api.front.addresses import Proxies
from pulp_api.front.limits import Limits
from pulp_api.front.refusals import CROWDED, CROWDED_ADDRESS, NO_ROOM, Refusal
from pulp_api.front.tally import Tally

_STEP_S: Final = 0.5
_SHED_SHARE: Final = 8
"""Above a limit an eighth is dropped at once, as a search for each single one would take too long."""
_SHED_CONNECTIONS: Final = 16
_LINGERING, _NEW, _IDLE, _SLOW, _WAITING = range(5)
_SLOW_S: Final = 2.0
"""A client that would need longer than this to take its answers may be dropped to make room."""

TOO_SLOW: Final = "a client that takes its answer too slowly"


class HoldsRequests(Protocol):
    """The connections that hold bytes of unanswered requests."""

    held: int
    """Only the watch changes it."""


class Watched(HoldsRequests, Protocol):
    """A connection, as the watch sees it. Only the watch changes `unsent`."""

    site: str
    answered: int
    unsent: int
    waited_s: float
    since_s: float

    @property
    def is_answering(self) -> bool: ...
    @property
    def is_waiting(self) -> bool: ...
    @property
    def clients(self) -> Clients: ...
    @property
    def is_lingering(self) -> bool: ...
    @property
    def is_receiving(self) -> bool: ...
    @property
    def rate(self) -> float: ...
    def check(self, step_s: float) -> None: ...
    def drop(self) -> None: ...
    def refuse(self, refusal: Refusal) -> None: ...


class OpenConnections:
    """Counts the connections, keeps them within the limits, and checks their deadlines."""

    def __init__(self, limits: Limits, proxies: Proxies, *, keep_alive_s: float, clock_s: Callable[[], float]) -> None:
        self.limits = limits
        self.tally = Tally(clock_s)
        self.turns = Turns(limits.at_once, clock_s)
        self.held = 0
        """Bytes of requests that are not answered yet."""
        self.unsent = 0
        """Bytes of answers that clients have not taken."""
        self._proxies = proxies
        self._keep_alive_s = keep_alive_s
        self._clock_s = clock_s
        self._all: set[Watched] = set()
        self._of: dict[str, set[Watched]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Watched) -> None:
        """Add a connection that `admit` has admitted."""
        self._all.add(connection)
        self._of.setdefault(connection.site, set()).add(connection)

    def remove(self, connection: Watched) -> None:
        """Remove a connection that has ended."""
        self.hold(connection, -connection.held)
        self.hold_unsent(connection, 0)
        self._all.discard(connection)
        of = self._of.get(connection.site, set())
        of.discard(connection)
        if not of:
            self._of.pop(connection.site, None)

    def admit(self, site: str) -> Refusal | None:
        """The refusal of one more connection from this site, or None. Idle connections are dropped to make room."""
        of = self._of.get(site, set())
        if len(of) >= self.limits.clients_per_address and site not in self._proxies and not self._make_room(of):
            return CROWDED_ADDRESS
        if len(self._all) >= self.limits.clients and not self._make_room(self._all):
            return CROWDED
        return None

    def give_up_some(self) -> bool:
        """Drop idle connections, because no file descriptor is left. False if none is idle."""
        return self._make_room(self._all)

    def silence_s(self, site: str) -> float:
        """How long a new connection may stay silent; proxies open some in advance."""
        return self._keep_alive_s if site in self._proxies else self.limits.head_s

    def hold(self, connection: HoldsRequests, size_bytes: int) -> None:
        """The connection holds `size_bytes` more of its requests; fewer, if negative."""
        connection.held += size_bytes
        self.held += size_bytes
        if self.held > self.limits.held_bytes:
            self._shed_requests()

    def hold_unsent(self, connection: Watched, size_bytes: int) -> None:
        """The connection holds `size_bytes` of its answers."""
        self.unsent += size_bytes - connection.unsent
        connection.unsent = size_bytes
        if self.unsent > self.limits.held_bytes:
            self._shed_answers()

    async def keep_watch(self) -> None:
        """Check every connection regularly, for ever."""
        last = self._clock_s()
        while True:
            await asyncio.sleep(_STEP_S)
            now = self._clock_s()
            # A delay of this process must not count against the client.
            step_s, last = min(now - last, 2 * _STEP_S), now
            for connection in list(self._all):
                connection.check(step_s)
            self.tally.write()

    def _make_room(self, among: Iterable[Watched]) -> bool:
        kinds: defaultdict[int, list[tuple[float, Watched]]] = defaultdict(list)
        for connection in among:
            rank = _uselessness(connection)
            if rank is not None:
                kinds[rank[0]].append((rank[1], connection))
        if not kinds:
            return False
        # The largest kind makes room: honest clients are not the first in it.
        kind = _LINGERING if _LINGERING in kinds else max(kinds, key=lambda each: len(kinds[each]))
        found = kinds[kind]
        if kind == _WAITING:
            of = Counter(connection.clients[-1] for _, connection in found)
            found = [(-of[connection.clients[-1]], connection) for _, connection in found]
        for _, connection in nsmallest(_SHED_CONNECTIONS, found, key=itemgetter(0)):
            self.tally.note("an idle or slow connection, to make room for others", address=connection.site)
            self.remove(connection)
            connection.drop()
        return True

    def _shed_requests(self) -> None:
        """Refuse the requests that take longest to arrive."""
        found = [connection for connection in self._all if connection.held and connection.is_receiving]
        for connection in sorted(found, key=lambda each: (each.waited_s, each.held), reverse=True):
            if self.held <= self.limits.held_bytes - self.limits.held_bytes // _SHED_SHARE:
                return
            self.hold(connection, -connection.held)
            connection.refuse(NO_ROOM)

    def _shed_answers(self) -> None:
        """Drop the clients that take their answers most slowly."""
        found = [connection for connection in self._all if connection.unsent]
        for connection in sorted(found, key=lambda each: (each.rate, -each.unsent)):
            if self.unsent <= self.limits.held_bytes - self.limits.held_bytes // _SHED_SHARE:
                return
            self.tally.note(TOO_SLOW, address=connection.site)
            self.hold_unsent(connection, 0)
            connection.drop()


def _uselessness(connection: Watched) -> tuple[int, float] | None:
    """The kind of a connection, and its rank in it, the lowest first; None while it is being answered."""
    if connection.is_lingering:
        return _LINGERING, connection.since_s
    if connection.is_waiting:
        return _WAITING, connection.since_s
    if connection.is_answering or connection.unsent:
        is_slow = connection.rate < connection.unsent / _SLOW_S
        return (_SLOW, connection.rate) if is_slow else None
    return (_NEW if connection.answered == 0 else _IDLE), connection.since_s
