"""Checks all logs of an installation, also against the checkpoints of others and the history in Postgres."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path

from psycopg import IsolationLevel
from pulp_archive.archive import Archive
from pulp_events.checkpoints import spans
from pulp_events.kafka import Servers
from pulp_events.reader import Reader
from pulp_events.task import Position
from pulp_projections.connection import connect_blocking

from pulp_transparency.auditing import KeptCheckpoint, LogReport, audit
from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.comparison import Kind
from pulp_transparency.errors import NoteMalformed, RecordsFault
from pulp_transparency.history import History
from pulp_transparency.keys import KeyRing
from pulp_transparency.note import split
from pulp_transparency.records import ArchivedRecords, Records
from pulp_transparency.tiles import TileFolder

Notes = Mapping[int, Iterable[KeptCheckpoint]]
"""Checkpoints by partition. An outlet gets millions in a year, so they may be read as they are used."""


class LazyNotes(Iterable[KeptCheckpoint]):
    """Checkpoints that each iteration reads again, and that are never all in memory."""

    def __init__(self, read: Callable[[], Iterator[KeptCheckpoint]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[KeptCheckpoint]:
        return self._read()


def reports(
    folder: Path, ring: KeyRing, records: Records, notes: Notes, only: Collection[int] = ()
) -> Iterator[LogReport]:
    """One report for each partition of the records and of the folder, or of those in `only`, as each is done."""
    for partition in sorted({*records.partitions(), *logs_in(folder), *notes}):
        if not only or partition in only:
            path = folder / str(partition)
            found = records.read(partition) if partition in records.partitions() else iter(())
            yield audit(TileFolder(path), ring, partition, found, notes.get(partition, ()), end=records.end(partition))


def compare_history(conninfo: str, records: Records, found: Iterable[LogReport]) -> None:
    """Add to the reports the differences in Postgres's history. Raises `psycopg.Error`, `RecordsFault`."""
    with connect_blocking(conninfo, "pulp-tasks-audit") as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            history = History(connection)
            for report in found:
                try:
                    partition = report.partition
                    difference, report.rows = history.compare(
                        partition, records.read(partition), end=records.end(partition)
                    )
                except RecordsFault:
                    if not report.found:
                        raise
                    continue  # the report already says that the records cannot be read
                if difference is not None:
                    place = str(Position(report.partition, difference.offset))
                    report.add("row", difference.kind, place, difference.what, offset=difference.offset)
            for partition, offset in history.strays(records.partitions()):
                stray = next((report for report in found if report.partition == partition), None) or next(iter(found))
                place = str(Position(partition, offset))
                stray.add(
                    "row",
                    Kind.ADDED,
                    str(Position(partition, offset)),
                    f"the topic has no partition {partition}",
                    offset=offset,
                )


def note_damaged_files(records: ArchivedRecords, found: Iterable[LogReport]) -> None:
    """Add to the reports the files of the archive that were found damaged while they were read."""
    for report in found:
        for place, fault in records.faults.get(report.partition, {}).items():
            kind = Kind.MISSING if fault.is_missing else Kind.ALTERED
            report.add("file", kind, place, str(fault))


def archived_notes(archive: Archive) -> dict[int, list[KeptCheckpoint]]:
    """The checkpoints that an archive holds. Raises `ArchiveAway`."""
    return {
        partition: [KeptCheckpoint(each.place, each.text) for each in archive.notes(partition)]
        for partition in archive.partitions
    }


def logs_in(folder: Path) -> list[int]:
    """The partitions whose logs are in a folder of tiles."""
    names = (each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else iter(())
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def published_notes(servers: Servers, topic: str) -> dict[int, LazyNotes]:
    """The checkpoints that the topic has now: later ones may cover more records than the log had when it was read.

    Raises `LogUnavailable`, also while they are read.
    """
    return {
        partition: LazyNotes(partial(_published, servers, topic, partition, *span))
        for partition, span in sorted(spans(servers, topic).items())
    }


def _published(servers: Servers, topic: str, partition: int, start: int, end: int) -> Iterator[KeptCheckpoint]:
    with Reader(servers, topic, {partition: start}) as reader:
        for _, records in reader.until({partition: end}):
            for record in records:
                text = (record.value or b"").decode(errors="replace")
                yield KeptCheckpoint(f"{topic} {Position(record.partition, record.offset)}", text)


def outside_notes(folder: Path) -> dict[int, LazyNotes]:
    """The checkpoints that a folder outside has now. Raises `RecordsFault`, and `OSError`, also while they are read."""
    partitions = logs_in(folder)
    if not partitions:
        raise RecordsFault(f"{folder} has no checkpoints: the folder of PULP_TRANSPARENCY_OUTSIDE is expected")
    newest = {
        partition: max((int(file.name) for file in _kept_in(folder / str(partition))), default=-1)
        for partition in partitions
    }
    return {
        partition: LazyNotes(partial(_outside, folder / str(partition), most)) for partition, most in newest.items()
    }


def _kept_in(folder: Path) -> Iterator[Path]:
    """The files of checkpoints, whose names are their sizes."""
    return (file for file in folder.iterdir() if file.name.isascii() and file.name.isdecimal())


def _outside(folder: Path, most: int) -> Iterator[KeptCheckpoint]:
    for file in _kept_in(folder):
        if int(file.name) <= most:
            with suppress(FileNotFoundError):  # somebody may delete it meanwhile: reading all records takes long
                yield KeptCheckpoint(str(file), file.read_text(encoding="utf-8", errors="replace"))


def given_notes(files: Iterable[Path], ring: KeyRing) -> dict[int, list[KeptCheckpoint]]:
    """Checkpoints that somebody has kept as files. Raises `NoteMalformed` for one of another installation."""
    found: dict[int, list[KeptCheckpoint]] = defaultdict(list)
    for file in files:
        found[partition_of_note(file, ring)].append(KeptCheckpoint(str(file), file.read_text(encoding="utf-8")))
    return found


def partition_of_note(file: Path, ring: KeyRing) -> int:
    """The partition whose log a checkpoint in a file covers, according to itself. Raises `NoteMalformed`."""
    try:
        origin = Checkpoint.parse(split(file.read_text(encoding="utf-8"))[0]).origin
    except (NoteMalformed, UnicodeDecodeError) as error:
        raise NoteMalformed(f"{file} is not a checkpoint: {error}") from error
    name, _, partition = origin.rpartition("/")
    if name != ring.name or not (partition.isascii() and partition.isdecimal()):
        raise NoteMalformed(f"{file} is a checkpoint of {origin}, and the keys are those of {ring.name}")
    return int(partition)


def merged(*several: Notes) -> dict[int, LazyNotes]:
    """All checkpoints of these, by partition."""
    found: dict[int, list[Iterable[KeptCheckpoint]]] = defaultdict(list)
    for notes in several:
        for partition, those in notes.items():
            found[partition].append(those)
    return {partition: LazyNotes(partial(chain.from_iterable, parts)) for partition, parts in found.items()}
