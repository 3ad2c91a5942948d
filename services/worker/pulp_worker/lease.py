"""The worker's lease, by its own monotonic clock."""

import logging
import os
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("pulp.worker")


class Lease:
    """Runs out `seconds` after the moment *before* the last successful heartbeat was sent.

    So the worker knows that its lease has run out no later than anybody else may judge it lost.
    """

    def __init__(self, seconds: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock_s = clock_s
        self._ends_at_s = 0.0

    def now(self) -> float:
        """The clock, in seconds: take it before a heartbeat is sent."""
        return self._clock_s()

    def renew(self, sent_at_s: float) -> None:
        """A heartbeat that was sent at `sent_at_s` has been answered."""
        self._ends_at_s = max(self._ends_at_s, sent_at_s + self._seconds)

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
        """Whether the worker may still run what it has claimed."""
        return self.left_s > 0


class Guard:
    """Ends the process if operations still run `slack_s` after the lease ran out.

    A thread, since the event loop cannot help when an operation blocks it or takes no notice of being cancelled.
    """

    def __init__(
        self,
        lease: Lease,
        is_operating: Callable[[], bool],
        *,
        slack_s: float,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._lease = lease
        self._is_operating = is_operating
        self._slack_s = slack_s
        self._end = end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-guard", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Nothing runs any more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(max(self._slack_s / 4, self._lease.left_s)):
            overdue_s = self._lease.now() - self._lease.ends_at_s
            if overdue_s > self._slack_s and self._is_operating():
                _log.critical("the lease has run out and operations do not stop: the process ends")
                self._end(70)
                return
