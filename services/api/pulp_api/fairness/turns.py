"""Decides whose request is next under load: start-time fair queueing (Goyal, Vin and Cheng, 1996).

So a client that sends many requests, over however many connections, delays nobody but itself. What a client used while
nobody had to wait does not count against it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Protocol

MOST_S: Final = 0.3
"""The most time that a request counts as running: one that waits for something else does not use our time."""
_TICK_S: Final = 0.02
_QUICK_S: Final = 0.01
_EXTRA: Final = 4
"""How many more requests begin at each tick that is less than `_QUICK_S` late: then the running ones are waiting."""
_MOST_KNOWN: Final = 5000


Clients = tuple[Hashable, ...]
"""The accounts to which a request is charged: its address and its login."""


class Request(Protocol):
    """A request that waits for its turn."""

    @property
    def clients(self) -> Clients: ...
    def begin(self) -> None:
        """Start answering it."""


class Turns:
    """Lets at most `at_once` requests run at a time; the others wait.

    At most `most_s` seconds of a request are charged to its clients.
    """

    def __init__(self, at_once: int, clock_s: Callable[[], float], *, most_s: float = MOST_S) -> None:
        self._at_once = at_once
        self._most_s = most_s
        self._clock_s = clock_s
        self._begun: dict[Request, float] = {}
        self._waiting: dict[Clients, deque[Request]] = {}
        self._virtual_s = 0.0
        """The greatest start tag of a request that has begun. A client that comes now is served from there on, however
        little it had before."""
        self._served_s: dict[Hashable, float] = {}
        """The finish tag of each client's last request; without one it counts as the virtual time."""
        self._crowded = asyncio.Event()

    def ask(self, request: Request) -> None:
        """Begin the request, or queue it."""
        if len(self._begun) < self._at_once:
            self._begin(request)
        else:
            self._waiting.setdefault(request.clients, deque()).append(request)
            self._crowded.set()

    def end(self, request: Request) -> None:
        """The request is done: begin the next. Does nothing if it has not begun."""
        began_s = self._begun.pop(request, None)
        if began_s is None:
            return
        used_s = min(self._clock_s() - began_s, self._most_s)
        for client in request.clients:
            self._served_s[client] = self._served_s.get(client, self._virtual_s) + used_s
        while self._waiting and len(self._begun) < self._at_once:
            self._begin_next()
        if not self._begun:
            self._served_s.clear()
        elif len(self._served_s) > _MOST_KNOWN:
            known = sorted(self._served_s, key=self._served_s.__getitem__, reverse=True)
            self._served_s = {client: self._served_s[client] for client in known[: _MOST_KNOWN // 2]}

    def give_up(self, request: Request) -> None:
        """Remove the request from the queue, if it is there."""
        queue = self._waiting.get(request.clients)
        if queue is not None and request in queue:
            queue.remove(request)
            if not queue:
                del self._waiting[request.clients]

    async def keep_moving(self) -> None:
        """Run forever, so that requests that wait for something else do not block the queue."""
        while True:
            await self._crowded.wait()
            asleep_s = self._clock_s()
            await asyncio.sleep(_TICK_S)
            self.relieve(self._clock_s() - asleep_s - _TICK_S)
            if not self._waiting:
                self._crowded.clear()

    def relieve(self, late_s: float) -> None:
        """Begin a few more requests if the process has time for them; `late_s` is how late its event loop is."""
        ended_s = self._clock_s() - self._most_s
        for request in [request for request, began_s in self._begun.items() if began_s <= ended_s]:
            self.end(request)
        for _ in range(_EXTRA if late_s < _QUICK_S else 0):
            if self._waiting:
                self._begin_next()

    def _begin(self, request: Request) -> None:
        self._virtual_s = max(self._virtual_s, self._place(request.clients))
        self._served_s.update(dict.fromkeys(request.clients, self._virtual_s))
        self._begun[request] = self._clock_s()
        request.begin()

    def _begin_next(self) -> None:
        clients = min(self._waiting, key=self._place)
        queue = self._waiting[clients]
        request = queue.popleft()
        if not queue:
            del self._waiting[clients]
        self._begin(request)

    def _place(self, clients: Clients) -> float:
        return max([self._served_s.get(client, self._virtual_s) for client in clients])
