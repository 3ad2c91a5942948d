"""The access log: one line for each request that reaches the application; and the metrics of requests."""

import logging
import time
from typing import Final

from pulp_runtime.telemetry.catalog import HTTP_SECONDS
from pulp_runtime.telemetry.metric import Meter
from starlette.types import Scope

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log: Final = logging.getLogger("pulp.api.access")


class AccessLine:
    """The line of one request, which begins now. The query is left out, as it may hold private data."""

    __slots__ = ("_began_s", "_meter", "_method", "scope", "size_bytes", "status")

    def __init__(self, scope: Scope, meter: Meter) -> None:
        self.scope = scope
        """The one that is routed."""
        self._method: str = scope["method"]
        self._meter = meter
        self._began_s = time.perf_counter()
        self.status: int | None = None
        """None until the response starts; it stays None for a client that disconnected before."""
        self.size_bytes = 0
        """The size of the response body, as far as it was sent."""

    def begins(self, status: int) -> None:
        """The response begins."""
        self.status = status
        self._measure(str(status))

    def ends(self) -> None:
        """Nothing more is sent."""
        if self.status is None:
            self._measure("none")

    def _measure(self, status: str) -> None:
        route = getattr(self.scope.get("route"), "path", "none")
        method = self._method if self._method in _METHODS else "other"
        self._meter.observe(HTTP_SECONDS, time.perf_counter() - self._began_s, method, route, status)

    def write(self) -> None:
        """Write the line. `ms` is the time until the whole response was passed to the connection."""
        scope = self.scope
        client = scope.get("client")
        _log.info(
            "request",
            extra={
                "method": self._method,
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
