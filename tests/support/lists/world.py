"""Some hundred random tasks, as events and as what a reader must see of them; the second is not made from the first.

Times, names and results repeat a lot, and much is null, so that filters and orders meet ties and gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw
from pulp_events.events import Access, Event, Finished, Outcome, Resource, TaskError

from tests.support.events import accepted, cancel_requested, event, finished, purged, started
from tests.support.site import Site

FIRST_MS: Final = 1_700_000_000_000
TASKS: Final = 110
NAMES: Final = (
    *("sync", "Sync", "publish", "remove-orphans", "sync, all", "naïve", "NAÏVE", "同期 一", "%_\\", 'it\'s "so"'),
    *("null", "🐙.tasks.sync", "pulp_rpm.app.tasks.sync", "ß", "a=b AND c"),
)
KEYS: Final = ("repository:zoo", "repository:bar", "repository:動物", "content_unit:orphans")
CIDS: Final = ("", "c0ffee", "C0FFEE", "cid-ü", "5d1c9f0e-0000-4000-8000-000000000001")
TAGS: Final = ("nightly", "pulp:repository:zoo", "ü")
USERS: Final = ("user:admin", "user:jo", "reactor")
RESULTS: Final[tuple[Any, ...]] = (None, None, {"a": 1}, [], "done", 0)
WORDS: Final = {"successful": "completed", "cancelled": "canceled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTask:
    """A task in a list, in the words of Pulp 3."""

    task_id: UUID
    place: tuple[int, int, int]
    """The time of acceptance in ms, the partition and the offset: who was before whom."""
    name: str
    cid: str
    by: str
    exclusive: tuple[str, ...]
    shared: tuple[str, ...]
    group: UUID | None
    parent: UUID | None
    rerun_of: UUID | None
    tags: tuple[str, ...]
    state: str = "waiting"
    created: datetime
    updated: datetime
    started: datetime | None = None
    cancelled: datetime | None = None
    finished: datetime | None = None
    unblocked: datetime | None = None
    error: dict[str, str | None] | None = None
    result: Any = None
    purged: bool = False

    @property
    def record(self) -> list[str]:
        """Its resources as Pulp 3 writes them."""
        return [*self.exclusive, *("shared:" + key for key in self.shared)]

    @property
    def left(self) -> datetime | None:
        """When it stopped blocking other tasks."""
        return self.finished if self.started else self.cancelled or self.finished


@dataclass(slots=True)
class World:
    """All tasks in the order of acceptance, and the events that make them, each with its time and partition."""

    seed: int
    tasks: list[ListedTask] = field(default_factory=list)
    events: list[tuple[int, int, Event]] = field(default_factory=list)

    @property
    def shown(self) -> list[ListedTask]:
        """The tasks that are not purged."""
        return [task for task in self.tasks if not task.purged]

    def parent(self, task: ListedTask) -> UUID | None:
        """The parent that it is shown with; never a purged one."""
        return task.parent if any(other.task_id == task.parent for other in self.shown) else None

    def children(self, parent: ListedTask) -> list[ListedTask]:
        """The tasks that name it as their parent, the oldest first."""
        found = [task for task in self.shown if task.parent == parent.task_id]
        return sorted(found, key=lambda task: (task.created, task.task_id))

    async def write(self, site: Site) -> None:
        """Append all events at their times; they are projected when this returns."""
        ends: dict[int, int] = {}
        for at_ms, partition, each in self.events:
            site.log.next_at(at_ms)
            ends[partition] = site.log.put(each, partition).offset + 1
        site.log.appended.set()
        await site.positions.reach(ends, 30)


def world(seed: int, count: int = TASKS) -> World:
    """The same tasks for the same seed."""
    chance, made, now_ms = Random(seed), World(seed), FIRST_MS
    groups = [_id(chance) for _ in range(4)]
    offsets = [0, 0, 0, 0]
    for _ in range(count):
        now_ms += chance.choice((0, 0, 1, 1000, 60_000))  # two tasks of one millisecond are in no order of time
        uses = chance.choice(((), (), (0,), (0, 1), (1, 1, 0)))
        keys = chance.sample(KEYS, len(uses))
        resources = tuple(
            _resource(key, Access.SHARED if use else Access.EXCLUSIVE) for key, use in zip(keys, uses, strict=True)
        )
        partition = chance.randrange(4)
        earlier = [task.task_id for task in made.tasks]
        task = ListedTask(
            task_id=_id(chance, now_ms),
            place=(now_ms, partition, offsets[partition]),
            name=chance.choice(NAMES),
            cid=chance.choice(CIDS),
            by=chance.choice(USERS),
            exclusive=tuple(each.key for each in resources if each.access is Access.EXCLUSIVE),
            shared=tuple(each.key for each in resources if each.access is Access.SHARED),
            group=chance.choice((None, *groups)),
            parent=chance.choice(earlier) if earlier and chance.random() < 0.4 else None,
            rerun_of=chance.choice(earlier) if earlier and chance.random() < 0.2 else None,
            tags=tuple(chance.sample(TAGS, chance.randrange(3))),
            created=_time(now_ms),
            updated=_time(now_ms),
        )
        offsets[partition] += 1
        made.events.append((now_ms, partition, _accepted(task, resources)))
        made.tasks.append(task)
    _live(made, chance, now_ms)
    return made


def _live(made: World, chance: Random, now_ms: int) -> None:
    """The outcome of each task, in the order in which they may start."""
    lives: list[tuple[int, int, Event]] = []
    for place, task in enumerate(sorted(made.tasks, key=lambda each: each.place)):
        before = [each for each in made.tasks if each.place < task.place and _conflict(each, task)]
        open_ = [each for each in before if each.left is None]
        free = max([task.created, *(each.left for each in before if each.left)])
        fate = chance.choice(
            ("waiting", "running", "canceling", *("completed",) * 4, "failed", "failed", "canceled", "skipped", "early")
        )
        if task.rerun_of is not None and fate == "waiting":
            fate = "completed"
        if open_ and fate not in ("waiting", "skipped", "early"):
            fate = "early"
        at_ms = max(_ms(free), now_ms) + chance.choice((1, 1000, 1000, 5000))
        done, events = _after(task, fate, at_ms, free if not open_ else None, chance)
        if done.finished and chance.random() < 0.12:
            done = replace(done, purged=True, updated=_time(now_ms + 10_000_000))
            events.append((now_ms + 10_000_000, purged(task.task_id)))
        made.tasks[made.tasks.index(task)] = done
        lives += [(when, place, each) for when, each in events]
    partitions = {task.task_id: task.place[1] for task in made.tasks}
    made.events += [
        (when, partitions[each.task_id], each) for when, _place, each in sorted(lives, key=lambda life: life[:2])
    ]


def _after(
    task: ListedTask, fate: str, at_ms: int, free: datetime | None, chance: Random
) -> tuple[ListedTask, list[tuple[int, Event]]]:
    """The task at the end of the story, and its events."""
    end_ms = at_ms + chance.choice((1, 1000, 1000, 30_000))
    attempt = _id(chance)
    result = chance.choice(RESULTS)
    error = chance.choice((None, TaskError("operation-failed", "no route"), TaskError("PLP0000", "ü", "trace\nback")))
    events: list[tuple[int, Event]] = []
    if fate in ("waiting", "skipped", "early"):
        if fate == "early":  # cancelled before it has started
            events.append((at_ms, cancel_requested(task.task_id)))
        outcome = {"skipped": Outcome.SKIPPED, "early": Outcome.CANCELLED}.get(fate)
        if outcome is not None:
            events.append((end_ms, finished(task.task_id, outcome=outcome, attempt_id=None)))
        over = at_ms if fate == "early" else end_ms
        is_free = free is not None and (fate == "waiting" or _ms(free) <= over)
        done = replace(
            task,
            state={"early": "canceled"}.get(fate, fate),
            cancelled=_time(at_ms) if fate == "early" else None,
            finished=None if outcome is None else _time(end_ms),
            unblocked=free if is_free else None,
        )
        return replace(done, updated=_time(events[-1][0]) if events else task.updated), events
    assert free is not None
    events.append((at_ms, started(task.task_id, attempt_id=attempt)))
    done = replace(task, state="running", started=_time(at_ms), unblocked=free, updated=_time(at_ms))
    if fate in ("canceling", "canceled"):
        events.append((at_ms, cancel_requested(task.task_id)))
        done = replace(done, state="canceling", cancelled=_time(at_ms))
    if fate in ("completed", "failed", "canceled"):
        outcome = {"completed": Outcome.SUCCESSFUL, "failed": Outcome.FAILED, "canceled": Outcome.CANCELLED}[fate]
        known = error if outcome is Outcome.FAILED else None
        value = result if outcome is Outcome.SUCCESSFUL else None
        data = Finished(outcome=outcome, attempt_id=attempt, result=Raw(msgspec.json.encode(value)), error=known)
        events.append((end_ms, event(data, task_id=task.task_id, actor="worker:w1")))
        shown = None
        if known is not None:
            shown = {"traceback": known.traceback, "error_code": known.code, "description": known.description}
        done = replace(done, state=fate, finished=_time(end_ms), updated=_time(end_ms), error=shown, result=value)
    return done, events


def _accepted(task: ListedTask, resources: Sequence[Resource]) -> Event:
    made = accepted(
        task.task_id,
        operation=task.name,
        resources=tuple(resources),
        rerun_of=task.rerun_of,
        group_id=task.group,
        parent_id=task.parent,
        tags=task.tags,
    )
    return msgspec.structs.replace(made, actor=task.by, correlation_id=task.cid or None)


def _resource(key: str, access: Access) -> Resource:
    kind, _, name = key.partition(":")
    return Resource(kind, name, access)


def _conflict(one: ListedTask, other: ListedTask) -> bool:
    return any(
        key in (*other.exclusive, *other.shared) and (key in one.exclusive or key in other.exclusive)
        for key in (*one.exclusive, *one.shared)
    )


def _id(chance: Random, at_ms: int = 0) -> UUID:
    """A UUID of version 7, or of version 4 without a time."""
    number = chance.getrandbits(128)
    if not at_ms:
        return UUID(int=number, version=4)
    plain = (at_ms << 80) | (number & ((1 << 80) - 1))
    return UUID(int=(plain & ~(0xF << 76) & ~(0x3 << 62)) | (7 << 76) | (2 << 62))


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
