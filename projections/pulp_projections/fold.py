"""The fold of a batch: records of one partition → the rows that change. Pure; live and rebuild use the same one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct
from pulp_events.codec import decode, type_of
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Accepted, Event, UnknownEvent
from pulp_events.reader import Record
from pulp_events.task import Ignored, Reason, State, Task, evolve

APPLIED: Final = "applied"


class Decoded(Struct, frozen=True, gc=False):
    """A record and what it means: an event, or the reason why it is none."""

    record: Record
    event: Event | UnknownEvent | None
    reason: str | None = None


class HistoryRow(Struct, frozen=True, gc=False):
    """One event in the history, effective or not."""

    record: Record
    event: Event | UnknownEvent
    effect: str
    """`applied`, or the reason why not."""

    @property
    def type(self) -> str:
        """The event's wire type."""
        return type_of(self.event)


class DeadLetter(NamedTuple):
    """A record that is no event."""

    record: Record
    reason: str


class Kind(NamedTuple):
    """Which tasks a counter counts."""

    partition: int
    state: State
    operation: str


class Changes(NamedTuple):
    """What a batch changes. Every task is in one of `created` and `updated`, once, as it is after the batch."""

    history: list[HistoryRow]
    created: list[Task]
    updated: list[Task]
    dead_letters: list[DeadLetter]
    counts: dict[Kind, int]
    """By how much the number of tasks changes; no zeros."""


def decode_batch(records: Iterable[Record]) -> list[Decoded]:
    """Decode each record, once."""
    return [_decode(record) for record in records]


def task_ids(batch: Iterable[Decoded]) -> set[UUID]:
    """The tasks that a batch is about: whose rows `fold` needs."""
    by_key = {item.record.key: item.event.task_id for item in batch if item.event is not None}
    return set(by_key.values())  # a key is quicker to compare than an id, and each stands there many times


def fold(batch: Sequence[Decoded], known: Mapping[UUID, Task]) -> Changes:
    """Fold the events of one partition, in order, onto the rows that are known before them.

    Any split into batches gives the same rows as one event at a time.
    """
    tasks: dict[bytes | None, Task] = {}  # by the record's key, which is the task's id: quicker than by the id
    history: list[HistoryRow] = []
    dead_letters: list[DeadLetter] = []
    for item in batch:
        record, event = item.record, item.event
        if event is None:
            dead_letters.append(DeadLetter(record, item.reason or "no event"))
            continue
        effect: str = APPLIED
        if isinstance(event, Event):
            after = _evolve(tasks.get(record.key) or known.get(event.task_id), event, record)
            if isinstance(after, Task):
                tasks[record.key] = after
            else:
                effect = after.reason
        else:
            effect = Reason.UNKNOWN_TYPE
        history.append(HistoryRow(record, event, effect))
    created = [task for task in tasks.values() if task.task_id not in known]
    updated = [task for task in tasks.values() if task.task_id in known]
    return Changes(history, created, updated, dead_letters, _counts(created, updated, known))


def _counts(created: Iterable[Task], updated: Iterable[Task], known: Mapping[UUID, Task]) -> dict[Kind, int]:
    counts: defaultdict[Kind, int] = defaultdict(int)
    for task in created:
        counts[_kind(task)] += 1
    for task in updated:
        before = known[task.task_id]
        if before.state != task.state:
            counts[_kind(before)] -= 1
            counts[_kind(task)] += 1
    return {kind: change for kind, change in counts.items() if change}


def _kind(task: Task) -> Kind:
    return Kind(task.partition, task.state, task.operation)


def _evolve(task: Task | None, event: Event, record: Record) -> Task | Ignored:
    if task is not None and task.partition != record.partition:
        # Whether its own partition has come so far is chance, and no two projections would agree: so a task is not
        # known in other partitions. Only a second `accepted` has to know of it, as it cannot make the task again.
        if isinstance(event.data, Accepted):
            return Ignored(Reason.WRONG_PARTITION)
        task = None
    return evolve(task, event, record, record.timestamp_ms)


def _decode(record: Record) -> Decoded:
    try:
        return Decoded(record, decode(record.key, record.value))
    except UndecodableRecord as error:
        return Decoded(record, None, error.reason)
