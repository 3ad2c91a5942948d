"""Where checkpoints go besides the folder of tiles: the topic, a folder outside, and witnesses.

Each outlet has its own thread, so that one that hangs delays neither the log nor another outlet. It sends the newest
checkpoint of each partition, which vouches for all earlier ones, and retries until it succeeds.
"""

import logging
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pulp_events.errors import PulpError

from pulp_transparency.errors import TransparencyError
from pulp_transparency.partition_log import write_whole
from pulp_transparency.published import Published

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_SAID: Final = 300
"""How many characters of a witness's last line messages show."""
_log = logging.getLogger("pulp.transparency")


class CheckpointOutlet(NamedTuple):
    """A place that gets checkpoints. `send` raises `PulpError` or `OSError`, and is then called again."""

    name: str
    send: Callable[[Published], None]


class WitnessRefused(TransparencyError):
    """The command of a witness failed."""


def outside_folder(path: Path) -> CheckpointOutlet:
    """A folder that gets each checkpoint as the file `PARTITION/SIZE`, of 20 digits. None is ever overwritten."""

    def send(published: Published) -> None:
        file = path / str(published.partition) / f"{published.size:020}"
        if not file.exists():
            write_whole(file, published.note)

    return CheckpointOutlet(f"folder {path}", send)


def witness(number: int, command: Sequence[str], timeout_s: float) -> CheckpointOutlet:
    """A command that gets a checkpoint on standard input, and has taken it when it exits with 0."""

    def send(published: Published) -> None:
        try:
            done = subprocess.run(
                [*command], input=published.note.encode(), capture_output=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise WitnessRefused(f"it took longer than {timeout_s:g} s") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:_SAID]
            raise WitnessRefused(f"it exited with {done.returncode}: {said or 'it said nothing'}")

    return CheckpointOutlet(f"witness {number} ({Path(command[0]).name})", send)


class CheckpointOutbox:
    """Sends checkpoints to one outlet, in a thread."""

    def __init__(self, outlet: CheckpointOutlet) -> None:
        self.name = outlet.name
        self.fault: str | None = None
        """Why the last attempt failed; None if it did not."""
        self._send = outlet.send
        self._waiting: dict[int, Published] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"outlet {outlet.name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many partitions have a checkpoint that has not been sent."""
        with self._changed:
            return len(self._waiting)

    def offer(self, published: Published) -> None:
        """Send this checkpoint instead of an older one of its partition."""
        with self._changed:
            self._waiting[published.partition] = published
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Retry pending deliveries, for at most this long. Any that remain are sent at the next start."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.0
        while True:
            with self._changed:
                if pause_s and not self._is_closed:
                    self._changed.wait_for(lambda: self._is_closed, pause_s)
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed and (not self._waiting or pause_s):
                    return
                published = next(iter(self._waiting.values()))
            pause_s = self._attempt(published, pause_s)

    def _attempt(self, published: Published, pause_s: float) -> float:
        """The pause before the next attempt; 0 after a success."""
        try:
            self._send(published)
        except (PulpError, OSError) as error:
            self.fault = str(error)
            _log.warning("a checkpoint was not taken by %s: %s", self.name, error, extra={"origin": published.origin})
            return min(_LONGEST_PAUSE_S, pause_s * 2 or _FIRST_PAUSE_S)
        if self.fault is not None:
            _log.info("checkpoints are taken again by %s", self.name)
        self.fault = None
        with self._changed:
            if self._waiting.get(published.partition) is published:
                del self._waiting[published.partition]
        return 0.0


def opened(outlets: Iterable[CheckpointOutlet]) -> list[CheckpointOutbox]:
    """The outboxes of outlets."""
    return [CheckpointOutbox(each) for each in outlets]
