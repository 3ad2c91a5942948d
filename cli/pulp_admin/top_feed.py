"""The data of `top`, read again whenever the server's stream of events reports a change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

from pulp_console.exits import TEMPORARY

from pulp_admin.errors import Failure, NotFound, StaleStream, Unreachable
from pulp_admin.paths import api_path
from pulp_admin.watching import Pauses

if TYPE_CHECKING:
    from pulp_admin.client import Client

_FIELDS: Final = (
    "pulp_href,state,name,created_by,pulp_created,started_at,finished_at,worker_name,queue,error,progress,"
    "reserved_resources_record"
)
_MOST: Final = 100
"""How many tasks of each kind are shown; a screen has fewer lines."""
_LEAST_GAP_S: Final = 1.0
"""The shortest time between two reads, however many events there are."""
_LONGEST_GAP_S: Final = 5.0
"""Workers' heartbeats are not events."""
_FAILURE: Final = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the server reported at one time."""

    counts: Mapping[str, int]
    """How many tasks are in each state, in the words of the v3 dialect."""
    tasks: Sequence[Mapping[str, Any]]
    """Running ones, then those that wait, the oldest first, then those that have ended, the newest first."""
    queues: Sequence[Mapping[str, Any]]
    workers: Sequence[Mapping[str, Any]]


class Viewer(Protocol):
    """The receiver of a feed. The feed calls the methods in its own threads."""

    def see(self, picture: Picture) -> None:
        """Show this from now on."""

    def connected(self, why_not: str | None) -> None:
        """The stream is open; or it is not, and this is why."""

    def ended(self, error: Exception) -> None:
        """The feed cannot go on."""


class TopFeed:
    """Reads the state once, and again after each event, at most once a second."""

    def __init__(self, client: "Client", *, shows_all: bool = False) -> None:
        client.tell = lambda _: None  # a remark would be written across the screen
        self._client = client
        self.shows_all = shows_all
        """Whether tasks that have ended are shown too."""
        self._stale, self._stopped = Event(), Event()
        self._positions: dict[int, int] = {}
        self._last_id: str | None = None

    def look(self) -> Picture:
        """Read everything. Raises `Failure`."""
        active = self._tasks("running,canceling")
        waiting = self._tasks("waiting", ordering="pulp_created")
        ended = self._tasks("completed,failed,canceled,skipped") if self.shows_all else []
        get = self._client.get
        return Picture(
            counts=get(api_path("v3", "task-counts"))["states"],
            tasks=[*reversed(active), *waiting, *ended],
            queues=get(api_path("v3", "queues"))["results"],
            workers=list(self._client.pages(api_path("v3", "workers"), {"online": "true", "ordering": "name"})),
        )

    def may_cancel(self) -> bool:
        """Whether the role of this user may cancel tasks. Raises `Failure`."""
        try:
            return self._client.get(api_path("v3", "login")).get("role") not in ("viewer", "auditor")
        except NotFound:  # an older server does not report it
            return True

    def why(self, task_id: str) -> Mapping[str, Any]:
        """Why a task waits. Raises `Failure`."""
        found: Mapping[str, Any] = self._client.get(api_path("v3", "tasks", task_id, "why"))
        return found

    def cancel(self, task_id: str) -> str | None:
        """Cancel a task. Returns why it cannot be cancelled, or None if the server accepted it. Raises `Failure`."""
        detail = self._client.cancel(task_id).get("detail")
        return None if detail is None else str(detail)

    def look_soon(self) -> None:
        """Read again without waiting for an event."""
        self._stale.set()

    def start(self, viewer: Viewer) -> None:
        """Report to a viewer from now on, until `stop`."""
        # Daemons: a thread that waits for the next event must not keep the program from ending.
        for work in (self._listen, self._watch):
            Thread(target=_guarded(work, viewer), daemon=True).start()

    def stop(self) -> None:
        """Stop reporting."""
        self._stopped.set()
        self._stale.set()

    def _tasks(self, states: str, **more: str) -> list[dict[str, Any]]:
        params = {"state__in": states, "limit": _MOST, "fields": _FIELDS, **more}
        found: list[dict[str, Any]] = self._client.get(
            api_path("v3", "tasks"), params, at_least=dict(self._positions) or None
        )["results"]
        return found

    def _watch(self, viewer: Viewer) -> None:
        while not self._stopped.wait(_LEAST_GAP_S):
            self._stale.wait(_LONGEST_GAP_S)
            self._stale.clear()
            if self._stopped.is_set():
                return
            try:
                viewer.see(self.look())
            except Failure as failure:
                if not (_is_temporary(failure) or self._positions):
                    raise
                self._positions = {}  # the server refuses them if they are those of an earlier log

    def _listen(self, viewer: Viewer) -> None:
        pauses = Pauses(sleep=self._sleep)
        while not self._stopped.is_set():
            try:
                self._stream(viewer, pauses)
            except StaleStream:
                self._last_id = None
            except Failure as failure:
                if not _is_temporary(failure):
                    raise
                why = failure.why if isinstance(failure, Unreachable) else failure.message
                viewer.connected(why.partition("\n")[0])
            pauses.pause()

    def _stream(self, viewer: Viewer, pauses: Pauses) -> None:
        """Follow one stream to its end."""
        with self._client.events(None, self._last_id) as messages:
            viewer.connected(None)
            self.look_soon()  # what happened while no stream was open
            for message in messages:
                if self._stopped.is_set() or message.event == _FAILURE:
                    break
                pauses.made_progress()
                self._last_id = message.id or self._last_id
                if message.data:
                    record = message.json()
                    partition, offset = record["partition"], record["offset"]
                    self._positions[partition] = max(offset, self._positions.get(partition, -1))
                    self.look_soon()

    def _sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)


def _guarded(work: Callable[[Viewer], None], viewer: Viewer) -> Callable[[], None]:
    def run() -> None:
        try:
            work(viewer)
        except Exception as error:  # at the edge of the thread: the screen ends with it
            viewer.ended(error)

    return run


def _is_temporary(failure: Failure) -> bool:
    return isinstance(failure, Unreachable) or failure.code == TEMPORARY
