"""Follow a task until it ends, across lost connections."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pulp_console.exits import INTERRUPTED, TEMPORARY
from pulp_console.output import hint

from pulp_admin.errors import Failure, StaleStream, Unreachable
from pulp_admin.paths import api_path
from pulp_admin.waiting import why_it_waits
from pulp_admin.words import state_of_report

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

    from pulp_admin.client import Client
    from pulp_admin.watch_views import View

_PATIENCE_S: Final = 600.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_FAILURE: Final = "failure"
"""The event with which the server ends a stream that cannot go on."""


@dataclass
class Pauses:
    """How long to wait before the next connection: longer after each that brought nothing, and different for clients
    that lost theirs at the same time."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    patience_s: float = _PATIENCE_S
    _failures: int = 0
    _answered_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._answered_at = self.clock()

    def answered(self) -> None:
        """Note that the server has answered."""
        self._answered_at = self.clock()

    def made_progress(self) -> None:
        """Note that a stream had an event, or that the task has changed."""
        self._failures = 0

    def pause(self) -> None:
        """Wait before the next connection."""
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self.sleep(longest * random.uniform(0.5, 1.0))

    @property
    def is_over(self) -> bool:
        """Whether the server has been away for too long."""
        return self.clock() - self._answered_at > self.patience_s


def follow(client: "Client", task_id: str, output: str = "table", pauses: Pauses | None = None) -> int:
    """Show the task until it has ended; return its exit code. Ctrl-C ends the watching, not the task."""
    from pulp_admin.watch_views import view_for

    view = view_for(output)
    client.tell = view.remark
    try:
        return _Watch(client, task_id, view, pauses or Pauses()).run()
    except KeyboardInterrupt:
        view.close()
        hint(f"The task goes on. To cancel it: pulp-admin tasks cancel --task-id {task_id}")
        return INTERRUPTED
    finally:
        view.close()


class _Watch:
    def __init__(self, client: "Client", task_id: str, view: "View", pauses: Pauses) -> None:
        self._client = client
        self._task_id = task_id
        self._view = view
        self._pauses = pauses
        self._task: dict[str, Any] | None = None
        self._last_id: str | None = None
        self._is_open = False
        self._is_away = False

    def run(self) -> int:
        """The first connection has to succeed; later failures that may be temporary are waited out."""
        while True:
            try:
                code = self._stream()
                if code is not None:
                    return code
            except Failure as failure:
                self._raise_unless_temporary(failure)
            self._pauses.pause()

    def _stream(self) -> int | None:
        """Follow one stream until it ends; return the exit code if the task ended first.

        The stream is opened before the task is read, so that no change in between is missed.
        """
        self._is_open = False
        with self._client.events(self._task_id, self._last_id) as messages:
            code = self._read()
            self._is_open = True
            if code is not None:
                return code
            for message in messages:
                self._pauses.answered()
                self._pauses.made_progress()
                self._last_id = message.id or self._last_id
                if message.event == _FAILURE:
                    return None
                code = self._on_event(message) if message.data else self._idle()
                if code is not None:
                    return code
        return None

    def _on_event(self, message: "ServerSentEvent") -> int | None:
        """Read the task after an event, at its position; a progress event has all that is needed."""
        record = message.json()
        event = record["event"] or {}
        at = _time_of(record["timestamp_ms"])
        if self._task is not None and str(event.get("type", "")).endswith(".progress.v1"):
            progress = event["data"]["progress"]
            return self._changed({**self._task, "progress": progress, "progress_report": progress}, at)
        return self._read(at, at_least={record["partition"]: record["offset"]})

    def _idle(self) -> int | None:
        """Called when no event comes: the reason why a task waits may have changed."""
        self._view.idle()
        if self._task is None or state_of_report(self._task).pulp2 != "waiting":
            return None
        return self._read()

    def _read(self, at: str | None = None, at_least: Mapping[int, int] | None = None) -> int | None:
        task = self._client.get(api_path("v2", "tasks", self._task_id), at_least=at_least)
        self._pauses.answered()
        if self._is_away:
            self._view.remark("Connected again.")
            self._is_away = False
        return self._changed(dict(task), at)

    def _changed(self, task: dict[str, Any], at: str | None) -> int | None:
        if task != self._task:
            self._pauses.made_progress()
        self._task = task
        self._view.show(task, at=at, waits_for=why_it_waits(self._client, self._task_id, task))
        return state_of_report(task).exit_code

    def _raise_unless_temporary(self, failure: Failure) -> None:
        """Raise errors that are not temporary, and any error after too long."""
        if isinstance(failure, StaleStream) and self._last_id is not None:
            self._last_id = None
            return
        if self._task is None or not isinstance(failure, Unreachable):
            raise failure
        if self._pauses.is_over:
            raise Failure(
                f"{failure.message}\nThe server was away for {self._pauses.patience_s / 60:.0f} minutes. The task goes"
                f" on. To watch it again: pulp-admin tasks watch --task-id {self._task_id}",
                TEMPORARY,
            )
        if not self._is_open and not self._is_away:  # proxies cut streams from time to time: not worth a remark
            self._view.remark(f"The server does not answer ({failure.why}). Trying again.")
            self._is_away = True


def _time_of(timestamp_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(timestamp_ms / 1000))
