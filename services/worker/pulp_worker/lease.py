"""The worker's lease, by its own monotonic clock."""

import time
from collections.abc import Callable


class Lease:
    """Runs out `seconds` after the moment *before* the last successful heartbeat was sent.

    So the worker notices that its lease has run out no later than anybody else may consider it lost.
    """

    def __init__(
        self,
        seconds: float,
        clock_s: Callable[[], float] = time.monotonic,
        *,
        on_renewed: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`on_renewed` gets the end of the lease, by the clock, after each renewal."""
        self._seconds = seconds
        self._clock_s = clock_s
        self._on_renewed = on_renewed
        self._ends_at_s = 0.0

    def now(self) -> float:
        """The clock, in seconds: take it before a heartbeat is sent."""
        return self._clock_s()

    def renew(self, sent_at_s: float) -> None:
        """Postgres has answered a heartbeat that was sent at `sent_at_s`."""
        self._ends_at_s = max(self._ends_at_s, sent_at_s + self._seconds)
        self._on_renewed(self._ends_at_s)

    @property
    def ends_at_s(self) -> float:
        """When it runs out, by the clock."""
        return self._ends_at_s

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 if it has run out."""
        return max(0.0, self._ends_at_s - self._clock_s())

    @property
    def is_live(self) -> bool:
        """Whether the worker may still run its claimed tasks."""
        return self.left_s > 0
