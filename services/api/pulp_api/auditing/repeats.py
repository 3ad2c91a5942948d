"""Audit records that repeat: the first is written at once, those after it as one with a count. No I/O."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace
from pulp_events.audit import AuditRecord

EVERY_S: Final = 60.0
MOST: Final = 500
"""Of one kind, in one interval: so many different pairs of actor and address are told apart."""
_Key = tuple[str, str | None, str | None]


class Repeats:
    """Counts records that agree in what, actor and address.

    Memory and the rate of what is written are bounded: where more than `most` pairs appear for one `what`, further
    ones are counted by address alone, and where there are as many addresses, all together.
    """

    def __init__(self, every_s: float = EVERY_S, most: int = MOST) -> None:
        self._every_s, self._most = every_s, most
        self._seen: dict[_Key, _Repeat] = {}
        self._kinds: dict[str, int] = {}

    def note(self, record: AuditRecord, now_s: float) -> AuditRecord | None:
        """The record to write at once; None for one that is counted."""
        for key in _keys(record):
            found = self._seen.get(key)
            if found is not None:
                found.add(record)
                return None
            if self._kinds.get(key[0], 0) < _rooms(key) * self._most:
                self._kinds[key[0]] = self._kinds.get(key[0], 0) + 1
                self._seen[key] = _Repeat(now_s + self._every_s)
                return _named(record, key)
        return None

    def due(self, now_s: float) -> list[AuditRecord]:
        """What was counted in intervals that have ended."""
        ended = [key for key, repeat in self._seen.items() if repeat.ends_s <= now_s]
        return [record for key in ended if (record := self._end(key, now_s)) is not None]

    def rest(self) -> list[AuditRecord]:
        """All that was counted and not written yet, for the end."""
        return self.due(float("inf"))

    def _end(self, key: _Key, now_s: float) -> AuditRecord | None:
        repeat = self._seen.pop(key)
        if repeat.last is None:
            self._kinds[key[0]] -= 1
            return None
        self._seen[key] = _Repeat(now_s + self._every_s)
        return replace(_named(repeat.last, key), count=repeat.count, since=repeat.since)


class _Repeat:
    """What came after the first."""

    def __init__(self, ends_s: float) -> None:
        self.ends_s = ends_s
        self.count = 0
        self.last: AuditRecord | None = None
        self.since: datetime | None = None

    def add(self, record: AuditRecord) -> None:
        if self.last is None:
            self.since = record.time
        self.count += 1
        self.last = record


def _keys(record: AuditRecord) -> tuple[_Key, _Key, _Key]:
    """From the finest to the coarsest."""
    what = record.what
    return (what, record.actor, record.address), (what, None, record.address), (what, None, None)


def _rooms(key: _Key) -> int:
    """The coarse keys have room of their own behind the finer ones."""
    return 1 if key[1] is not None else 2 if key[2] is not None else 3


def _named(record: AuditRecord, key: _Key) -> AuditRecord:
    """The record as its key tells it: of many names none is told."""
    if key[1] is not None:
        return record
    address = record.address if key[2] is not None else None
    return replace(record, actor="user:*", address=address)
