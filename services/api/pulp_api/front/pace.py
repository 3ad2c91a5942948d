"""How quickly a client takes what is written for it."""

from pulp_api.front.outlet import Outlet


class Pace:
    """Looked at now and then: what the client took since some moment, in the time in which something waited for it."""

    __slots__ = ("_due", "_from", "_waited_s")

    def __init__(self) -> None:
        self._from = 0
        self._due = 0
        self._waited_s = 0.0

    def has_all(self, outlet: Outlet) -> bool:
        """The client had taken all that was written when this was looked at last, and nothing was written since."""
        return self._from >= outlet.written

    def rate(self, outlet: Outlet) -> float:
        """Bytes a second; infinite where nothing waits for the client."""
        return (outlet.taken() - self._from) / self._waited_s if self._waited_s else float("inf")

    def is_too_slow(self, outlet: Outlet, step_s: float, *, window_s: float, least_rate: float) -> bool:
        """Whether it took less than the least rate, and not all that was there, over the window that ends now.

        Looked at `step_s` after the last time.
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
