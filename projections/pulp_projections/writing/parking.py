"""Parked tasks: tasks with a record that cannot be projected. It and the later records of the task are kept, in order,
until somebody lets the task go on. Pure; the state before a batch is never changed.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from pulp_events.codec import key_of, task_id_of
from pulp_events.reader import Record

WAITING: Final = "an earlier record of its task cannot be projected"
"""The reason of a record that waits."""
TASK_HEADERS: Final = ("ce_subject", "subject")
"""Headers that name the task of a record without its key; the first is CloudEvents' own for Kafka."""


class Standing(StrEnum):
    """The standing of a dead letter: what it means for its task."""

    DEAD = "dead"
    """It belongs to no task, so nothing waits for it."""
    PARKS = "parks"
    """Its task is parked because of it."""
    WAITS = "waits"
    """It may be decodable, but waits behind the record that parks its task."""
    DISCARDED = "discarded"
    """It was left out, and its task has continued."""


class DeadLetter(NamedTuple):
    """A record that does not hold an event, or that Postgres cannot store; or one that waits behind such a record."""

    record: Record
    reason: str
    task_id: UUID | None = None
    standing: Standing = Standing.DEAD


Parked = Mapping[bytes, Sequence[DeadLetter]]
"""The key of a task's records → the record that parks it, and those that wait behind it, in order."""
NOBODY: Final[Parked] = MappingProxyType({})


def task_of(record: Record) -> UUID | None:
    """The task that a record belongs to, by its key or by a header; None if neither names one."""
    task_id = task_id_of(record.key)
    if task_id is None:
        named = (value for name, value in record.headers if name.lower() in TASK_HEADERS)
        task_id = next(filter(None, map(task_id_of, named)), None)
    return task_id


class Parking:
    """The parked tasks of one partition while a batch is folded, and the batch's changes to the dead letters."""

    def __init__(self, before: Parked) -> None:
        self.tasks: Final[dict[bytes, Sequence[DeadLetter]]] = dict(before) if before else {}
        """The parked tasks now. It is always the same mapping object, empty while no task is parked."""
        self.inserted: Final[dict[int, DeadLetter]] = {}
        """New dead letters, by offset."""
        self.restood: Final[dict[int, DeadLetter]] = {}
        """Existing dead letters whose standing has changed."""
        self.freed: Final[list[int]] = []
        """Existing dead letters that are projected now."""
        self._before: Final = before
        self._own: dict[bytes, list[DeadLetter]] = {}
        """The lists created here, which therefore may grow."""

    def set_aside(self, record: Record, reason: str) -> None:
        """The record cannot be projected: its task is parked, if it has one."""
        task_id = task_of(record)
        if task_id is None:
            self.inserted[record.offset] = DeadLetter(record, reason)
        elif (key := key_of(task_id)) in self.tasks:
            self.wait(key, record)
        else:
            self.park(key, DeadLetter(record, reason, task_id), reason, ())

    def wait(self, key: bytes, record: Record) -> None:
        """The record waits behind the others of its parked task."""
        found = self._own.get(key)
        if found is None:
            found = self._own[key] = [*self.tasks[key]]
            self.tasks[key] = found
        letter = DeadLetter(record, WAITING, found[0].task_id, Standing.WAITS)
        found.append(letter)
        self.inserted[record.offset] = letter

    def park(self, key: bytes, letter: DeadLetter, reason: str, behind: Sequence[DeadLetter]) -> None:
        """The task is parked because of this record; others wait behind it."""
        parks = letter._replace(reason=reason, standing=Standing.PARKS)
        self.tasks[key] = self._own[key] = [parks, *behind]
        if parks != letter:
            self._put(parks)

    def take(self, key: bytes, offset: int) -> list[DeadLetter]:
        """Release a parked task, and return its records; none if the record at the offset does not park it."""
        found = self.tasks[key]
        if found[0].record.offset != offset:
            return []
        del self.tasks[key]
        self._own.pop(key, None)
        return [*found]

    def discard(self, letter: DeadLetter) -> None:
        """The record is left out for ever."""
        self._put(letter._replace(standing=Standing.DISCARDED))

    def free(self, letter: DeadLetter) -> None:
        """The record is projected."""
        offset = letter.record.offset
        if self.inserted.pop(offset, None) is None:
            self.restood.pop(offset, None)
            self.freed.append(offset)

    def _put(self, letter: DeadLetter) -> None:
        offset = letter.record.offset
        was_there = letter.task_id is not None and any(
            offset == each.record.offset for each in self._before.get(key_of(letter.task_id), ())
        )
        (self.restood if was_there else self.inserted)[offset] = letter
