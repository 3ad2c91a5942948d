"""The thread that runs the callbacks of a Kafka client."""

import threading
import time
from collections.abc import Callable
from typing import Final

_POLL_S: Final = 0.1
"""The longest wait for a callback, and so the longest time until the thread ends when told to."""
_LINGER_S: Final = 1.0
"""How long to keep polling after a report: another append often follows soon."""
_REST_S: Final = 10.0
"""The pause between polls while no event is in flight, for the client's log lines and for renewing a login."""


class Polling:
    """Polls while events are in flight, and a second longer; then it rests, so that an idle log costs nothing."""

    def __init__(
        self,
        poll: Callable[[float], object],
        on_their_way: Callable[[], int],
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`poll` runs the callbacks that are due, and waits at most the given seconds for one; `on_their_way` counts
        the events without a report. Both are called from the thread.
        """
        self._poll = poll
        self._on_their_way = on_their_way
        self._clock_s = clock_s
        self._given = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-polling", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """An event has been given to the client. From any thread."""
        if not self._given.is_set():
            self._given.set()

    def close(self) -> None:
        """Returns when the thread has ended."""
        self._closing.set()
        self._given.set()
        self._thread.join()

    def _run(self) -> None:
        until_s = 0.0
        while not self._closing.is_set():
            if self._on_their_way():
                until_s = self._clock_s() + _LINGER_S
            if self._clock_s() < until_s:
                self._poll(_POLL_S)
                continue
            self._given.clear()
            if not self._on_their_way() and not self._closing.is_set():  # set before, by the caller that saw it set
                self._given.wait(_REST_S)
            self._poll(0)
