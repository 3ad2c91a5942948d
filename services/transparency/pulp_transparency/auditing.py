"""Checks the log of one partition, and the records against it. It trusts only the verifier keys."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, NamedTuple

from pulp_events.reader import Record
from pulp_events.task import Position

from pulp_transparency import merkle
from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.comparison import Kind, first_difference
from pulp_transparency.entry import LogEntry
from pulp_transparency.errors import NoteError, RecordsFault, RetiredKey, TileFault, UnknownKey
from pulp_transparency.keys import KeyRing
from pulp_transparency.tiles import CHECKPOINT, LogTree, TileFolder, tiles_of

UNKNOWN_KEY: Final = "unknown key"
RETIRED_KEY: Final = "retired key"
CONTRADICTED: Final = "contradicted"
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Alteration:
    """A difference from the signed log."""

    subject: str
    """`record`, `row` (of the history in Postgres), `tile`, `checkpoint`, or `file` (of an archive)."""
    kind: str
    """How: one of `Kind`, or one of the words above."""
    partition: int
    index: int | None
    """The place in the log; None if it is uncertain."""
    offset: int | None
    """The offset of the record there."""
    place: str
    """The position of a record as PARTITION:OFFSET; the path of a tile or file; where a checkpoint was found."""
    what: str

    def __str__(self) -> str:
        return f"{self.subject} {self.place}: {self.kind}: {self.what}"


class KeptCheckpoint(NamedTuple):
    """A checkpoint that was found somewhere."""

    place: str
    text: str


@dataclass(slots=True)
class LogReport:
    """The result for one partition."""

    partition: int
    origin: str
    size: int = 0
    """How many records the log has, by its last checkpoint that is signed."""
    compared: int = 0
    """How many of them were compared with the records read."""
    uncovered: int = 0
    """How many records come after them, which no checkpoint vouches for yet."""
    checkpoints: int = 0
    """How many other checkpoints agree."""
    rows: int | None = None
    """How many records were compared with the history in Postgres; None if it was not read."""
    found: list[Alteration] = field(default_factory=list)

    def add(
        self, subject: str, kind: str, place: str, what: str, *, index: int | None = None, offset: int | None = None
    ) -> None:
        """Add a finding."""
        self.found.append(Alteration(subject, kind, self.partition, index, offset, place, what))


def audit(
    tiles: TileFolder,
    ring: KeyRing,
    partition: int,
    records: Iterable[Record],
    notes: Iterable[KeptCheckpoint] = (),
    *,
    end: int | None = None,
) -> LogReport:
    """Check checkpoint and tiles, then the records, then the checkpoints that others have. It never raises for a fault
    of these, but adds each to the report. The records may end with offset `end`.
    """
    report = LogReport(partition, ring.verifiers(partition)[-1].name)
    # There may be millions, so they are all in memory only if something is wrong.
    others: Iterable[tuple[KeptCheckpoint, Checkpoint]] = _all_opened(ring, report, notes)
    own = _own(tiles, ring, report)
    if own is None:
        others = [*others]
        if not others:
            return report
        own = max((checkpoint for _, checkpoint in others), key=lambda each: each.size)
    report.size = own.size
    tree = LogTree(tiles, own.size)
    if _check_tiles(report, tree, own.root):
        _compare(report, tree, iter(records), end)
        _check_others(report, tree, others)
    else:
        _compare_roots(report, own, iter(records), others, may_end=end is not None)
    return report


def _own(tiles: TileFolder, ring: KeyRing, report: LogReport) -> Checkpoint | None:
    place = str(tiles.path / CHECKPOINT)
    try:
        text = tiles.checkpoint()
    except TileFault as fault:
        report.add("checkpoint", Kind.ALTERED, place, str(fault))
        return None
    if text is None:
        report.add("checkpoint", Kind.MISSING, place, "the log has no checkpoint: nothing vouches for the tiles")
        return None
    return _opened(ring, report, KeptCheckpoint(place, text))


def _all_opened(
    ring: KeyRing, report: LogReport, notes: Iterable[KeptCheckpoint]
) -> Iterator[tuple[KeptCheckpoint, Checkpoint]]:
    """The checkpoints that a key has signed; the others are reported."""
    for note in notes:
        if (checkpoint := _opened(ring, report, note)) is not None:
            yield note, checkpoint


def _opened(ring: KeyRing, report: LogReport, note: KeptCheckpoint) -> Checkpoint | None:
    try:
        return ring.open(note.text, report.partition)
    except UnknownKey as error:
        kind = UNKNOWN_KEY
        said = str(error)
    except RetiredKey as error:
        kind = RETIRED_KEY
        said = str(error)
    except NoteError as error:
        kind = Kind.ALTERED
        said = str(error)
    report.add("checkpoint", kind, note.place, said)
    return None


def _check_tiles(report: LogReport, tree: LogTree, root: bytes) -> bool:
    """Whether the tiles match the checkpoint."""
    fault = next(tree.faults(), None)
    if fault is None and tree.root() == root:
        return True
    if fault is None:
        *_, top = tiles_of(tree.size)
        fault = TileFault(
            "the tiles do not lead to the root of the checkpoint, and agree with each other: they, or those at the"
            " right edge, were exchanged",
            top.path,
        )
    kind = Kind.MISSING if str(fault).endswith("is missing") else Kind.ALTERED
    report.add("tile", kind, str(tree.tiles.path / fault.tile), str(fault))
    return False


def _compare(report: LogReport, tree: LogTree, records: Iterator[Record], end: int | None) -> None:
    """Report the first record before `end` that differs from the log."""
    read = 0
    logged = takewhile(lambda entry: end is None or entry.offset < end, tree.entries())

    def entries() -> Iterator[LogEntry]:
        nonlocal read
        for record in records:
            read += 1
            yield LogEntry.of(record)

    try:
        difference = first_difference(logged, entries())
        report.compared = min(read, tree.size) if difference is None else difference.index
        if difference is None:
            report.uncovered = sum(1 for _ in records)
    except RecordsFault as error:
        index = min(read, tree.size)
        offset = tree.entry(index).offset if index < tree.size else None
        place = _place(report.partition, offset)
        report.compared = index
        report.add("record", UNREADABLE, place, str(error), index=index, offset=offset)
        return
    if difference is not None:
        report.add(
            "record",
            difference.kind,
            _place(report.partition, difference.offset),
            difference.what,
            index=difference.index,
            offset=difference.offset,
        )


def _check_others(report: LogReport, tree: LogTree, others: Iterable[tuple[KeptCheckpoint, Checkpoint]]) -> None:
    """Compare the checkpoints that others have with the tiles, which match the folder's own checkpoint."""
    before = len(report.found)
    for note, checkpoint in others:
        if checkpoint.size > tree.size:
            report.add(
                "checkpoint",
                Kind.CUT_OFF,
                note.place,
                f"it vouches for {checkpoint.size} records, and the log has {tree.size}: it was cut off or set back",
                index=tree.size,
            )
        elif tree.subtree(0, checkpoint.size) != checkpoint.root:
            report.add(
                "checkpoint",
                CONTRADICTED,
                note.place,
                f"the first {checkpoint.size} records of the log are not those that it vouches for: the log was"
                " rewritten and signed again",
                index=checkpoint.size,
            )
        else:
            report.checkpoints += 1
    # They come in any order, and the smallest one that differs says most about where the log was changed.
    report.found[before:] = sorted(report.found[before:], key=lambda each: (each.index is None, each.index or 0))


def _compare_roots(
    report: LogReport,
    own: Checkpoint,
    records: Iterator[Record],
    others: Iterable[tuple[KeptCheckpoint, Checkpoint]],
    *,
    may_end: bool,
) -> None:
    """Without trustworthy tiles, check whether the records match each checkpoint.

    If the records may end earlier, checkpoints of more records prove nothing.
    """
    wanted = sorted([*((checkpoint, note.place) for note, checkpoint in others), (own, "its own checkpoint")])
    tree, right, offset = merkle.Frontier(), 0, None
    try:
        for checkpoint, place in sorted(wanted, key=lambda each: each[0].size):
            while tree.size < checkpoint.size and (record := next(records, None)) is not None:
                entry = LogEntry.of(record)
                offset = entry.offset
                tree.append(merkle.leaf_hash(entry.encode()))
            if tree.size == checkpoint.size and tree.root == checkpoint.root:
                right = tree.size
                continue
            if may_end and tree.size < checkpoint.size:
                break
            report.compared = right
            report.add(
                "record",
                Kind.CUT_OFF if tree.size < checkpoint.size else Kind.ALTERED,
                _place(report.partition, offset),
                f"the first {right} records are those that were signed; up to the {checkpoint.size} of {place} they are"
                " not. The tiles, which would say which one, cannot be trusted",
                index=right,
                offset=None,
            )
            return
    except RecordsFault as error:
        report.add("record", UNREADABLE, _place(report.partition, None), str(error), index=tree.size)
        return
    report.compared = right
    report.uncovered = sum(1 for _ in records)


def _place(partition: int, offset: int | None) -> str:
    """The position of a record; `PARTITION:-` if its offset is unknown."""
    return f"{partition}:-" if offset is None else str(Position(partition, offset))
