"""Merges repeated audit records: the first is written at once, later ones as one record with a count. No I/O."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace
from pulp_events.audit import AuditRecord

EVERY_S: Final = 60.0
MOST: Final = 500
"""The most pairs of actor and address that are counted separately, for each kind and interval."""
_Key = tuple[str, str | None, str | None]


class Repeats:
    """Counts records with the same kind, actor and address.

    Memory and the rate of written records are bounded: beyond `most` pairs of a kind, further records are counted by
    address alone, and beyond as many addresses, all together.
    """

    def __init__(self, every_s: float = EVERY_S, most: int = MOST) -> None:
        self._every_s, self._most = every_s, most
        self._seen: dict[_Key, _Repeat] = {}
        self._kinds: dict[str, int] = {}

    def note(self, record: AuditRecord, now_s: float) -> AuditRecord | None:
        """The record to write now; None if it was only counted."""
        for key in _keys(record):
            found = self._seen.get(key)
            if found is not None:
                found.add(record)
                return None
            if self._kinds.get(key[0], 0) < _capacity(key) * self._most:
                self._kinds[key[0]] = self._kinds.get(key[0], 0) + 1
                self._seen[key] = _Repeat(now_s + self._every_s)
                return _named(record, key)
        return None

    def due(self, now_s: float) -> list[AuditRecord]:
        """The counts of the intervals that have ended."""
        ended = [key for key, repeat in self._seen.items() if repeat.ends_s <= now_s]
        return [record for key in ended if (record := self._end(key, now_s)) is not None]

    def rest(self) -> list[AuditRecord]:
        """All counts that are not written yet, for the end of the process."""
        return self.due(float("inf"))

    def _end(self, key: _Key, now_s: float) -> AuditRecord | None:
        repeat = self._seen.pop(key)
        if repeat.last is None:
            self._kinds[key[0]] -= 1
            return None
        self._seen[key] = _Repeat(now_s + self._every_s)
        return replace(_named(repeat.last, key), count=repeat.count, since=repeat.since)


class _Repeat:
    """The records after the first one."""

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
    """From the most specific to the least."""
    what = record.what
    return (what, record.actor, record.address), (what, None, record.address), (what, None, None)


def _capacity(key: _Key) -> int:
    """Each less specific kind of key adds room for as many keys again."""
    return 1 if key[1] is not None else 2 if key[2] is not None else 3


def _named(record: AuditRecord, key: _Key) -> AuditRecord:
    """The record, without the fields that its key leaves out."""
    if key[1] is not None:
        return record
    address = record.address if key[2] is not None else None
    return replace(record, actor="user:*", address=address)
