"""Records as in the log, random stories of tasks, and a simple independent fold of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID, uuid4

from pulp_events.codec import encode, key_of
from pulp_events.events import Access, Event, Outcome, Resource
from pulp_events.reader import Record

from tests.support.events import accepted, cancel_requested, finished, progress, purged, started

NOON_MS = 1_795_521_600_000  # 2026-11-24T12:00:00Z
ZOO = Resource("repository", "zoo")
SHARED_ZOO, SHARED_BAR = (Resource("repository", name, Access.SHARED) for name in ("zoo", "bar"))
USES = ((), (ZOO,), (ZOO, SHARED_BAR), (ZOO, ZOO), (SHARED_BAR, ZOO, SHARED_ZOO))
"""Resource claims of a task, including duplicates and both access modes."""


def record(event: Event, offset: int, partition: int = 0) -> Record:
    """The event at an offset; the broker's time advances by a second with each offset."""
    return Record(partition, offset, NOON_MS + offset * 1000, key_of(event.task_id), encode(event))


def records(events: Iterable[Event], start: int = 0, partition: int = 0) -> list[Record]:
    """The events at consecutive offsets."""
    return [record(event, offset, partition) for offset, event in enumerate(events, start)]


def garbage(value: bytes | None, offset: int, partition: int = 0, key: bytes | None = b"k") -> Record:
    """Any bytes at an offset."""
    return Record(partition, offset, NOON_MS + offset * 1000, key, value, (("origin", b"elsewhere"),))


def story(random: Random, tasks: int, length: int) -> list[Event]:
    """Events of several tasks, partly in a valid order and partly not. Some tasks rerun another one."""
    ids = [_id(random) for _ in range(tasks)]
    attempts = [_id(random) for _ in range(2)]

    def one() -> Event:
        task_id, attempt_id, number = random.choice(ids), random.choice(attempts), random.randint(1, 4)
        outcome, cancellable = random.choice(list(Outcome)), random.random() < 0.7
        cause = {"rerun_of": ids[number % tasks]} if number < 3 else {}
        return random.choice(
            [
                accepted(task_id, operation=f"operation {number}", resources=USES[task_id.int % len(USES)], **cause),
                started(task_id, attempt=number, attempt_id=attempt_id, cancellable=cancellable),
                progress(task_id, attempt_id=attempt_id, sequence=number),
                progress(task_id, attempt_id=attempt_id, sequence=number + 4),
                cancel_requested(task_id),
                finished(task_id, attempt_id=random.choice([attempt_id, None]), outcome=outcome),
                purged(task_id, by=f"user:{number}"),
            ]
        )

    first = [
        accepted(task_id, resources=USES[task_id.int % len(USES)], rerun_of=ids[place - 1] if place % 2 else None)
        for place, task_id in enumerate(ids[: tasks // 2])
    ]
    return first + [one() for _ in range(length)]


def _id(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)


def life(task_id: UUID, steps: int = 3) -> list[Event]:
    """A task that is accepted, starts, reports progress and succeeds."""
    attempt_id = uuid4()
    return [
        accepted(task_id, resources=(ZOO,)),
        started(task_id, attempt_id=attempt_id),
        *(progress(task_id, attempt_id=attempt_id, sequence=number) for number in range(1, steps + 1)),
        finished(task_id, attempt_id=attempt_id),
    ]


def _owner(item: Record) -> str | None:
    """The task that a record's key names, or else its header."""
    for text in (item.key, *(value for name, value in item.headers if name.lower() in ("ce_subject", "subject"))):
        try:
            found = str(UUID((text or b"").decode()))
        except ValueError:
            continue
        if found.encode() == text:
            return found
    return None


@dataclass
class PlainTask:
    """The state of a task by an implementation of the state table that shares no code with the product."""

    state: str = "waiting"
    attempt: int = 0
    attempt_id: str | None = None
    cancellable: bool = False
    sequence: int = 0
    progress: Any = field(default_factory=dict)
    version: int = 1
    last_offset: int = 0
    operation: str = ""
    purged_by: str | None = None


class PlainFold:
    """Reads a partition's records one at a time, as JSON. `newest` is the newest version of events that it knows."""

    def __init__(self, newest: int = 2) -> None:
        self.newest = newest
        self.tasks: dict[str, PlainTask] = {}
        self.causes: dict[str, str] = {}
        """Task → the one that it reruns."""
        self.effects: list[tuple[int, str]] = []
        """(offset, effect) of every event."""
        self.alone: list[int] = []
        """Records that are not events and belong to no task."""
        self.discarded: list[int] = []
        self.parked: dict[str, list[Record]] = {}
        """Task → the record that parks it, and those behind that."""

    @property
    def dead(self) -> list[int]:
        """The offsets of everything that is not in the history."""
        return sorted(
            [*self.alone, *self.discarded, *(each.offset for found in self.parked.values() for each in found)]
        )

    def read(self, partition: Sequence[Record]) -> "PlainFold":
        """All of a partition."""
        for item in partition:
            self._read(item)
        self.effects.sort()
        return self

    def _read(self, item: Record) -> None:
        owner = _owner(item)
        try:
            body = json.loads(item.value or b"")
            kind, version = body["type"].split(".")[3:5]
            task_id, data = body["subject"], body["data"]
            if int(version[1:]) > self.newest or task_id != owner:
                raise ValueError(version)
        except (ValueError, KeyError, IndexError):
            if owner is None:
                self.alone.append(item.offset)
            else:
                self.parked.setdefault(owner, []).append(item)
            return
        if owner in self.parked:
            if kind != "unparked":
                self.parked[owner].append(item)
                return
            if self.parked[owner][0].offset == data["offset"]:
                behind = self.parked.pop(owner)
                if data["action"] == "discard":
                    self.discarded.append(behind.pop(0).offset)
                for each in behind:
                    self._read(each)  # if one parks the task again, those after it wait again
        effect = self._happens(kind, task_id, data, item.offset)
        if effect == "applied" and kind == "accepted" and "causationid" in body:
            self.causes[task_id] = body["causationid"]
        if effect == "applied" and kind != "accepted":
            self.tasks[task_id].version += 1
            self.tasks[task_id].last_offset = item.offset
        self.effects.append((item.offset, effect))

    def _happens(self, kind: str, task_id: str, data: dict[str, Any], offset: int) -> str:
        task = self.tasks.get(task_id)
        if kind == "unparked":
            return "about a dead letter"
        if task is None:
            if kind != "accepted":
                return "unknown task"
            self.tasks[task_id] = PlainTask(last_offset=offset, operation=data["operation"])
            return "applied"
        if kind == "accepted":
            return "duplicate"
        if task.state in ("successful", "failed", "cancelled", "skipped"):
            return self._purged(task, data) if kind == "purged" else "final"
        if kind == "purged":
            return "not finished"
        return {
            "started": self._started,
            "progress": self._progress,
            "cancel-requested": self._cancel,
            "finished": self._finished,
            "attempt-failed": self._attempt_failed,
        }[kind](task, data)

    def _purged(self, task: PlainTask, data: dict[str, Any]) -> str:
        if task.purged_by is not None:
            return "already purged"
        task.purged_by = data["requested_by"]
        return "applied"

    def _started(self, task: PlainTask, data: dict[str, Any]) -> str:
        if task.state == "cancelling":
            return "cancel came first"
        if not data["attempt"] > task.attempt:
            return "attempt is taken"
        task.state, task.attempt, task.attempt_id = "running", data["attempt"], data["attempt_id"]
        task.cancellable, task.sequence, task.progress = data["cancellable"], 0, {}
        return "applied"

    def _progress(self, task: PlainTask, data: dict[str, Any]) -> str:
        if task.attempt_id is None:
            return "stale" if task.attempt else "not started"
        if data["attempt_id"] != task.attempt_id or data["sequence"] <= task.sequence:
            return "stale"
        task.sequence, task.progress = data["sequence"], data["progress"]
        return "applied"

    def _cancel(self, task: PlainTask, data: dict[str, Any]) -> str:
        if task.state == "cancelling":
            return "already requested"
        if task.state == "running" and not task.cancellable:
            return "not cancellable"
        task.state = "cancelling"
        return "applied"

    def _finished(self, task: PlainTask, data: dict[str, Any]) -> str:
        if task.attempt_id is None:
            if data["attempt_id"] is not None:
                return "stale" if task.attempt else "not started"
        elif data["attempt_id"] != task.attempt_id:
            return "stale"
        task.state = data["outcome"]
        return "applied"

    def _attempt_failed(self, task: PlainTask, data: dict[str, Any]) -> str:
        if task.attempt_id is None:
            return "stale" if task.attempt else "not started"
        if data["attempt_id"] != task.attempt_id:
            return "stale"
        if task.state == "running":
            task.state = "waiting"
        task.attempt_id, task.cancellable, task.sequence, task.progress = None, False, 0, {}
        return "applied"
