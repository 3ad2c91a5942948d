"""The access log: one line for each request that reaches the application."""

import logging
import time
from typing import Final

from starlette.types import Scope

_log: Final = logging.getLogger("pulp.api.access")


class AccessLine:
    """The line of one request, which begins now. The query is left out, as it may hold private data."""

    __slots__ = ("_began_s", "_scope", "size_bytes", "status")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._began_s = time.perf_counter()
        self.status: int | None = None
        """None until the response starts; it stays None for a client that disconnected before."""
        self.size_bytes = 0
        """The size of the response body, as far as it was sent."""

    def write(self) -> None:
        """Write the line. `ms` is the time until the whole response was passed to the connection."""
        scope = self._scope
        client = scope.get("client")
        _log.info(
            "request",
            extra={
                "method": scope["method"],
                "path": scope["path"],
                "status": self.status or "none",
                "ms": round((time.perf_counter() - self._began_s) * 1000, 1),
                "bytes": self.size_bytes,
                "actor": scope["state"].get("actor") or "-",
                "auth": scope["state"].get("auth") or "-",
                "address": client[0] if client else "-",
                "correlation_id": scope["state"]["correlation_id"],
            },
        )
