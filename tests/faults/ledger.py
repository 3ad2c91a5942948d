"""Records what every client was told while the load runs, to be judged against the log at the end."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.faults.rules import ENDED

GONE = "purged"
"""What a task is for clients that may not read it any more."""
WORDS = {"canceling": "cancelling", "completed": "successful", "canceled": "cancelled"}
"""States of Pulp 3 → states in the log."""


class Breach(NamedTuple):
    """A promise that was not kept, and where."""

    promise: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise} at {self.where}: {self.what}"


class Told(NamedTuple):
    """One answer. `position` is the PARTITION:OFFSET of the written event, if the answer names one."""

    what: str
    """`accepted`, `cancelled`, `refused` or `ended`."""
    number: int
    task_id: str
    position: str | None
    at_s: float


@dataclass
class Seen:
    """The newest version of a task that any client was shown."""

    partition: int
    offset: int
    version: int
    state: str
    is_row: bool = True
    """Otherwise it comes from a submission: if that was repeated, it is the position of the last record, which had no
    effect."""


@dataclass
class Ledger:
    """Grows while the load runs. A breach that a single answer proves is recorded at once."""

    told: list[Told] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    tasks: dict[int, str] = field(default_factory=dict)
    """Number of the plan → task id, once a client was told."""
    seen: dict[str, Seen] = field(default_factory=dict)
    keyed: set[int] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    """Tasks that were accepted and could not be read later: they have to be purged ones."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, what: str, number: int, task_id: str, position: str | None) -> None:
        """A client was told."""
        self.told.append(Told(what, number, task_id, position, time.monotonic()))
        if what != "accepted":
            return
        known = self.tasks.setdefault(number, task_id)
        if known != task_id:
            self.breach(
                "I1", f"task {number} of the plan", f"one Idempotency-Key made two tasks, {known} and {task_id}"
            )
        if position is not None and task_id not in self.seen:
            partition, offset = map(int, position.split(":"))
            self.seen[task_id] = Seen(partition, offset, 1, "waiting", is_row=False)

    def breach(self, promise: str, where: str, what: str) -> None:
        """A promise was not kept."""
        with self._lock:
            self.breaches.append(Breach(promise, where, what))

    def show(self, before: Seen | None, body: dict[str, Any]) -> None:
        """Record what a client saw that asked for at least `before`."""
        task_id = body["pulp_href"].rstrip("/").rpartition("/")[2]
        partition, offset = map(int, body["position"].split(":"))
        state = WORDS.get(body["state"], body["state"])
        now = Seen(partition, offset, body["version"], state)
        if before is not None:
            least = (before.version, before.offset if before.is_row else 0)
            if (now.version, now.offset) < least:
                self.breach(
                    "I9", f"{partition}:{offset}", f"task {task_id} was read older than before: {before}, then {now}"
                )
            if before.state in ENDED and now.state != before.state:
                self.breach("I5", f"{partition}:{offset}", f"task {task_id} was {before.state}, then {now.state}")
        newest = self.seen.get(task_id)
        if newest is None or newest.version <= now.version:
            self.seen[task_id] = now

    def miss(self, task_id: str) -> None:
        """A client could not read the task any more."""
        self.gone.add(task_id)
        if task_id in self.seen:
            self.seen[task_id].state = GONE

    def unfinished(self) -> int:
        """How many tasks no client has seen end, or gone."""
        return sum(each.state not in ENDED and each.state != GONE for each in list(self.seen.values()))
