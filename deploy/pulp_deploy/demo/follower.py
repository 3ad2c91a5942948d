"""A subscriber that keeps every event from the first on; other parts of the demo wait for events here."""

import json
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from pulp_events import subscribe
from pulp_events.errors import PulpError
from pulp_events.filters import kind_of
from pulp_events.kafka import Kafka
from pulp_events.task import Position


class Seen(NamedTuple):
    """One received event."""

    position: Position
    task_id: str
    type: str
    """Its short name, such as `cancel-requested`."""
    actor: str
    data: dict[str, Any]

    def is_a(self, kind: str, task_id: str) -> bool:
        """Whether it has this type and belongs to this task."""
        return (self.type, self.task_id) == (kind, task_id)


class Follower:
    """Follows the log in a thread of its own, from the start. Use it in a `with` statement."""

    def __init__(self, kafka: Kafka, prefix: str) -> None:
        self._subscription = subscribe(kafka, prefix=prefix)
        self._changed = threading.Condition()
        self._events: list[Seen] = []
        self._error: PulpError | None = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    @property
    def events(self) -> list[Seen]:
        """All events received so far, in order of arrival."""
        with self._changed:
            return list(self._events)

    def of(self, task_id: str) -> list[Seen]:
        """The events of one task."""
        return [seen for seen in self.events if seen.task_id == task_id]

    def wait(self, what: str, fits: Callable[[Seen], bool], timeout_s: float = 60.0) -> Seen:
        """Wait for the first matching event and return it. Raises `TimeoutError`, or what ended the subscription."""
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or any(map(fits, self._events)), timeout_s)
            if self._error is not None:
                raise self._error
            for seen in self._events:
                if fits(seen):
                    return seen
        raise TimeoutError(f"within {timeout_s:g} s there was no event: {what}")

    def wait_finished(self, task_id: str) -> Seen:
        """The event that ended the task."""
        return self.wait(f"the end of task {task_id}", lambda seen: seen.is_a("finished", task_id))

    def _follow(self) -> None:
        try:
            while not self._is_closing:
                received = self._subscription.poll(0.2)
                if received is None:
                    continue
                envelope = json.loads(received.raw or b"{}")
                seen = Seen(
                    received.position,
                    str(envelope.get("subject")),
                    kind_of(str(envelope.get("type"))),
                    str(envelope.get("actor")),
                    envelope.get("data", {}),
                )
                with self._changed:
                    self._events.append(seen)
                    self._changed.notify_all()
        except PulpError as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing = True
        self._thread.join()
        self._subscription.close()
