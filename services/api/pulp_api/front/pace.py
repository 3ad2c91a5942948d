"""How quickly a client reads what is written for it."""

from pulp_api.front.outlet import Outlet


class ClientPace:
    """Measures, at each check, how much the client has read during the time in which it had something to read."""

    __slots__ = ("_due", "_from", "_waited_s")

    def __init__(self) -> None:
        self._from = 0
        self._due = 0
        self._waited_s = 0.0

    def has_all(self, outlet: Outlet) -> bool:
        """At the last check the client had taken everything, and nothing was written since."""
        return self._from >= outlet.written

    def rate(self, outlet: Outlet) -> float:
        """Bytes a second; infinite if nothing waits for the client."""
        return (outlet.taken() - self._from) / self._waited_s if self._waited_s else float("inf")

    def is_too_slow(self, outlet: Outlet, step_s: float, *, window_s: float, least_rate: float) -> bool:
        """Whether the client took less than the least rate over the last window, and left something.

        `step_s` is the time since the last call.
        """
        taken = outlet.taken()
        if not self._waited_s:
            self._due = outlet.written
        self._waited_s += step_s
        if taken >= outlet.written:
            self._from, self._waited_s = outlet.written, 0.0
            return False
        if self._waited_s <= window_s:
            return False
        is_too_slow = taken < self._due and taken - self._from < least_rate * self._waited_s
        self._from, self._waited_s = taken, 0.0
        return is_too_slow
