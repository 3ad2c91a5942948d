"""The fold of a batch: from records of one partition to the rows that change. Pure; live and rebuild share it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct
from pulp_events.codec import decode, newer_version, task_id_of, type_of
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Event, UnknownEvent, Unparked, Unparking
from pulp_events.reader import Record
from pulp_events.task import Reason, State, Task, evolve

from pulp_projections.daily.fold import Cell, added
from pulp_projections.writing.parking import NOBODY, DeadLetter, Parked, Parking

APPLIED: Final = "applied"
_WORKER: Final = "worker:"
"""The prefix of workers in `actor`."""
_SAID_BY_WORKERS: Final = frozenset({State.RUNNING, State.SUCCESSFUL})
"""States that only the task's worker can bring about."""


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


class Kind(NamedTuple):
    """Which tasks a counter counts: tasks of a state and an operation that are not purged."""

    partition: int
    state: State
    operation: str


class Cause(NamedTuple):
    """A row of `task_causes`: a task, and the one that it runs again."""

    task_id: UUID
    cause: UUID


class Act(NamedTuple):
    """A retry or discard of a task's dead letters."""

    event: Event
    data: Unparked


class Changes(NamedTuple):
    """The changes of a batch besides the history. Each task is in `created` or in `updated` once, in its final form."""

    created: list[Task]
    updated: list[Task]
    dead_letters: list[DeadLetter]
    """New dead letters."""
    restood: list[DeadLetter]
    """Existing dead letters whose standing has changed."""
    freed: list[int]
    """The offsets of existing dead letters that are now in the history."""
    counts: dict[Kind, int]
    """The change of each counter; never zero."""
    days: dict[Cell, int]
    """The increments of the daily statistics."""
    causes: list[Cause]
    """The tasks of `created` that rerun another one."""
    workers: dict[str, bool]
    """The workers whose tasks have changed, and those that sent an event without an effect.

    Each says whether this is news to the worker, which knows that it has started a task or ended it successfully.
    """
    ignored: dict[str, int]
    """How many events had no effect, by reason."""


def task_ids(records: Iterable[Record]) -> set[UUID]:
    """The tasks whose rows the fold of the records needs."""
    ids = map(task_id_of, {record.key for record in records})
    return {task_id for task_id in ids if task_id is not None}


class Fold:
    """The fold of records of one partition, in order, onto the tasks that are known before them.

    Any split into batches gives the same rows as one event at a time. `refused`: offset and reason of records that
    become dead letters even if they hold an event. `parked`: the tasks that are parked before the records.
    """

    def __init__(
        self, known: Mapping[UUID, Task], refused: Mapping[int, str] | None = None, parked: Parked = NOBODY
    ) -> None:
        self._known = known
        self._refused = refused or {}
        self.parked_before = parked
        """May be set until the first row is fetched."""
        self._parking = Parking(NOBODY)
        # By the record's key, which is the task's id as bytes: quicker to compare than a UUID.
        self._tasks: dict[bytes | None, Task] = {}
        self._causes: list[Cause] = []
        self._ineffective: set[str] = set()
        """Actors that sent an event without effect."""
        self._ignored: Counter[str] = Counter()

    def history(self, records: Iterable[Record]) -> Iterator[HistoryRow]:
        """Decode and fold the records, each when its row is fetched; dead letters have no row. Call it once.

        Use each row before the next is fetched: then its data is still in the processor's caches.
        """
        tasks, known, refused = self._tasks, self._known, self._refused
        self._parking = parking = Parking(self.parked_before)
        parked = parking.tasks
        for record in records:
            if parked and record.key in parked:
                yield from self._of_parked(record)
                continue
            try:
                event = decode(record.key, record.value)
            except UndecodableRecord as error:
                parking.set_aside(record, error.reason)
                continue
            if record.offset in refused:
                parking.set_aside(record, refused[record.offset])
                continue
            effect: str = APPLIED
            if isinstance(event, Event):
                task = tasks.get(record.key) or known.get(event.task_id)
                after = evolve(task, event, record, record.timestamp_ms)
                if isinstance(after, Task):
                    tasks[record.key] = after
                    if task is None and (cause := event.rerun_of) is not None:
                        self._causes.append(Cause(event.task_id, cause))
                else:
                    effect = after.reason
                    self._ineffective.add(event.actor)
            elif (newer := newer_version(event.type)) is not None:
                parking.set_aside(record, newer)
                continue
            else:
                effect = Reason.UNKNOWN_TYPE
            if effect != APPLIED:
                self._ignored[effect] += 1
            yield HistoryRow(record, event, effect)

    def _of_parked(self, record: Record) -> Iterator[HistoryRow]:
        """A record of a parked task: it waits, unless it lets the task continue."""
        key = record.key
        assert key is not None
        act = None if record.offset in self._refused else _act(record)
        if act is None:
            self._parking.wait(key, record)
            return
        letters = self._parking.take(key, act.data.offset)
        if letters and act.data.action is Unparking.DISCARD:
            self._parking.discard(letters.pop(0))
        for place, letter in enumerate(letters):
            row = self._again(letter.record)
            if isinstance(row, str):
                self._parking.park(key, letter, row, letters[place + 1 :])
                break
            self._parking.free(letter)
            yield row
        self._ignored[Reason.DEAD_LETTER] += 1
        yield HistoryRow(record, act.event, Reason.DEAD_LETTER)

    def _again(self, record: Record) -> HistoryRow | str:
        """The row of a record that has waited, or the reason why it cannot have one yet."""
        task_id = task_id_of(record.key)
        task = self._tasks.get(record.key) or (None if task_id is None else self._known.get(task_id))
        folding = Fold({} if task is None else {task.task_id: task}, self._refused)
        rows = list(folding.history([record]))
        if not rows:
            return folding._parking.inserted[record.offset].reason
        self._tasks |= folding._tasks
        self._causes += folding._causes
        self._ineffective |= folding._ineffective
        self._ignored += folding._ignored
        return rows[0]

    def evolved(self, task_ids: Set[UUID]) -> dict[UUID, Task]:
        """Those of the tasks that the records have created or changed, as they are now."""
        return {task.task_id: task for task in self._tasks.values() if task.task_id in task_ids}

    @property
    def parked(self) -> Parked:
        """The parked tasks after the records whose rows were fetched."""
        return self._parking.tasks

    def changes(self) -> Changes:
        """The changes of the records whose rows were fetched."""
        tasks, known = self._tasks.values(), self._known
        created = [task for task in tasks if task.task_id not in known]
        updated = [task for task in tasks if task.task_id in known]
        moved = [task for task in updated if _has_moved(known[task.task_id], task)]
        workers: defaultdict[str, bool] = defaultdict(bool)
        for task in (*created, *moved):
            if task.worker is not None:
                workers[task.worker] |= task.state not in _SAID_BY_WORKERS
        workers |= {actor.removeprefix(_WORKER): True for actor in self._ineffective if actor.startswith(_WORKER)}
        counts = _counts(created, updated, known)
        days = added(created, updated, known)
        letters = self._parking
        return Changes(
            created,
            updated,
            [*letters.inserted.values()],
            [*letters.restood.values()],
            letters.freed,
            counts,
            days,
            self._causes,
            workers,
            dict(self._ignored),
        )


def going_on(record: Record, parked: Parked) -> Sequence[DeadLetter]:
    """The dead letters that a record retries or discards."""
    letters = parked.get(record.key or b"", ())
    act = _act(record) if letters else None
    if act is None or letters[0].record.offset != act.data.offset:
        return ()
    return letters[1:] if act.data.action is Unparking.DISCARD else letters


def _act(record: Record) -> Act | None:
    """The retry or discard in the record, if it is one."""
    try:
        event = decode(record.key, record.value)
    except UndecodableRecord:
        return None
    if not isinstance(event, Event) or type(event.data) is not Unparked:
        return None
    return Act(event, event.data)


def fold(records: Iterable[Record], known: Mapping[UUID, Task]) -> tuple[list[HistoryRow], Changes]:
    """The rows and the changes of all records at once."""
    folding = Fold(known)
    return list(folding.history(records)), folding.changes()


def _has_moved(before: Task, after: Task) -> bool:
    """Whether its state or its attempt has changed."""
    return before.state is not after.state or before.attempt_id is not after.attempt_id


def _counts(created: Iterable[Task], updated: Iterable[Task], known: Mapping[UUID, Task]) -> dict[Kind, int]:
    counts: defaultdict[Kind, int] = defaultdict(int)
    for task in created:
        if task.purged_at_ms is None:
            counts[_kind(task)] += 1
    for task in updated:  # none of them was purged before: a purged task changes no more
        before = known[task.task_id]
        if task.purged_at_ms is not None:
            counts[_kind(before)] -= 1
        elif before.state is not task.state:
            counts[_kind(before)] -= 1
            counts[_kind(task)] += 1
    return {kind: change for kind, change in counts.items() if change}


def _kind(task: Task) -> Kind:
    return Kind(task.partition, task.state, task.operation)
