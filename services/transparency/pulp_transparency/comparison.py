"""Compares records with the log, and says which record is the first one that differs, and how. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from pulp_transparency.entry import LogEntry

WINDOW: Final = 10_000
"""How many records from the first difference on are compared: swapped records that are farther apart are reported as
altered."""


class Kind(StrEnum):
    """What happened to a record or to its evidence."""

    ALTERED = "altered"
    MISSING = "missing"
    CUT_OFF = "cut off"
    """Missing, with all that came after it."""
    SWAPPED = "swapped"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class RecordDifference:
    """The first difference. `index` is the place in the log; the offset is that of the record there."""

    kind: Kind
    index: int
    offset: int
    what: str


def first_difference(logged: Iterable[LogEntry], found: Iterable[LogEntry], start: int = 0) -> RecordDifference | None:
    """The first record, from index `start` on, that differs from the log; None if all records of the log are there.

    Records beyond the end of the log are not compared: it does not cover them yet.
    """
    expected, records = iter(logged), iter(found)
    for index, entry in enumerate(expected, start):
        record = next(records, None)
        if record != entry:
            return _difference(
                index,
                [entry, *islice(expected, WINDOW)],
                [] if record is None else [record, *islice(records, WINDOW)],
            )
    return None


def _difference(index: int, logged: Sequence[LogEntry], found: Sequence[LogEntry]) -> RecordDifference:
    """The difference, if the two differ at the first entry."""
    entry = logged[0]
    if not found:
        return RecordDifference(Kind.CUT_OFF, index, entry.offset, "no record is there, nor after it")
    record = found[0]
    if record.partition != entry.partition:
        return RecordDifference(
            Kind.ALTERED, index, entry.offset, f"the record there is of partition {record.partition}"
        )
    if (other := next(_swapped_with(logged, found), None)) is not None:
        return RecordDifference(Kind.SWAPPED, index, entry.offset, f"it stands where {other} does, and that one here")
    if record.offset == entry.offset:
        return _at_the_same_offset(index, logged, found)
    if record.offset > entry.offset:
        return RecordDifference(Kind.MISSING, index, entry.offset, f"the next record is {record.offset}")
    return RecordDifference(Kind.ADDED, index, record.offset, f"the log goes on with {entry.offset} there")


def _at_the_same_offset(index: int, logged: Sequence[LogEntry], found: Sequence[LogEntry]) -> RecordDifference:
    entry, record = logged[0], found[0]
    if len(found) > 1 and found[1].is_same_but_for_place(entry) and not record.is_same_but_for_place(entry):
        return RecordDifference(Kind.ADDED, index, record.offset, "the records of the log follow one place later")
    if len(logged) > 1 and record.is_same_but_for_place(logged[1]):
        return RecordDifference(Kind.MISSING, index, entry.offset, "the records after it stand one place earlier")
    what = "its time" if record.digest == entry.digest else "its key, its headers or its value"
    return RecordDifference(Kind.ALTERED, index, entry.offset, f"{what} is not what the log has")


def _swapped_with(logged: Sequence[LogEntry], found: Sequence[LogEntry]) -> Iterator[int]:
    """The offsets of the log's records that are swapped with the first one."""
    entry, record = logged[0], found[0]
    for other, there in islice(zip(logged, found, strict=False), 1, None):
        if record.is_same_but_for_place(other) and there.is_same_but_for_place(entry):
            yield other.offset
