"""A request of uvicorn that waits for its turn."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from pulp_api.fairness.turns import Clients, Turns

_asking: ContextVar[Clients] = ContextVar("asking", default=("ourselves",))


def asking() -> Clients:
    """The clients that the current request counts for; outside of a request, this process."""
    return _asking.get()


class Turn:
    """Waits for its turn; uvicorn then calls it as the application. `begin` starts the request."""

    __slots__ = ("_app", "_begin", "_cycle", "_turns", "clients", "has_begun")

    def __init__(
        self,
        begin: Callable[[RequestResponseCycle, Any], None],
        turns: Turns,
        cycle: RequestResponseCycle,
        app: Any,
        clients: Clients,
    ) -> None:
        self._begin, self._turns, self._cycle, self._app = begin, turns, cycle, app
        self.clients = clients
        self.has_begun = False

    def begin(self) -> None:
        """See `turns.Request`."""
        self.has_begun = True
        self._begin(self._cycle, self)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI. It runs in a task of its own."""
        _asking.set(self.clients)
        try:
            await self._app(scope, receive, send)
        finally:
            self._turns.end(self)
