"""Following the end of the log in a thread."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pulp_events.errors import LogError
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record
from pulp_runtime.heap import give_back

from pulp_api.streaming.streamed_events import StreamedEvent, streamed

_BURST_EVENTS: Final = 10_000
_CALM_EVENTS: Final = 10
"""After a burst, memory is given back to the system once fewer events than this come at a time."""
_RETRY_S: Final = 1.0
_log = logging.getLogger("pulp.api")


class LogTail:
    """A thread that reads the topic from the offsets on, and calls `deliver` in the event loop with what comes."""

    def __init__(
        self,
        servers: Servers,
        topic: str,
        start: Mapping[int, int],
        deliver: Callable[["LogTail", Sequence[StreamedEvent]], None],
    ) -> None:
        self.fault: str | None = None
        """Why no events arrive; None if they do."""
        self._servers = servers
        self._topic = topic
        self._next = dict(start)
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-tail", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop soon; it may still deliver once or twice."""
        self._ending.set()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                with Reader(self._servers, self._topic, self._next) as reader:
                    self._follow(reader)
            except LogError as error:
                if self.fault != str(error):
                    _log.error("the events cannot be followed", extra={"error": error})
                self.fault = str(error)
                self._ending.wait(_RETRY_S)

    def _follow(self, reader: Reader) -> None:
        since_quiet = 0
        while not self._ending.is_set():
            count = self._deliver_all(reader.poll(0.2, most=1000))
            since_quiet += count
            if since_quiet >= _BURST_EVENTS and count < _CALM_EVENTS:
                give_back()
                since_quiet = 0

    def _deliver_all(self, batches: Mapping[int, Sequence[Record]]) -> int:
        """Deliver the records, and return how many there were. It keeps no reference to them."""
        for partition, records in batches.items():
            self._next[partition] = records[-1].offset + 1
        # All in one call: subscribers are woken after it, and perhaps not again for a while.
        events = [streamed(record) for records in batches.values() for record in records]
        if events:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._deliver, self, events)
            self.fault = None
        return len(events)
