"""Writes the archive: files first, then the manifest that names them. A file that no manifest names does not count."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from pulp_events import admin
from pulp_events.errors import OffsetOutOfRange
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record

from pulp_archive.archive import Archive
from pulp_archive.errors import ArchiveIncomplete, ArchiveUnwritable
from pulp_archive.manifest import CHECKPOINTS, ENDING, FILE, ArchivedSpan, Manifest
from pulp_archive.parquet import RecordsFile
from pulp_archive.stores import ArchiveStore, shown, store_of

SPAN_RECORDS: Final = 500_000
SPAN_BYTES: Final = 64 << 20
"""A file ends with the record that makes its contents this large, because a reader has the whole file in memory."""
Report = Callable[["WriteProgress"], None]


class WriteProgress(NamedTuple):
    """How far a partition is."""

    partition: int
    next_offset: int
    end: int


class ArchiveAddition(NamedTuple):
    """What was added for a partition."""

    partition: int
    begin: int
    next: int
    records: int
    files: int
    uncovered: int
    """How many offsets of the archive no checkpoint in it covers."""


class Covering(NamedTuple):
    """The newest checkpoint of a partition's log, and the first offset that it does not cover."""

    size: int
    note: str
    next_offset: int


def write(
    url: str,
    servers: Servers,
    topic: str,
    covering: Mapping[int, Covering],
    *,
    until_ms: int | None = None,
    report: Report = lambda _: None,
    span_records: int = SPAN_RECORDS,
    span_bytes: int = SPAN_BYTES,
) -> Iterator[ArchiveAddition]:
    """Archive what Kafka has beyond the archive, up to its current end, and yield each partition when it is done.

    With `until_ms` it leaves out the first record with this broker time or a later one, and all after it. It reads only
    Kafka, and holds one file in memory. If it is killed at any moment, the next run continues after the last complete
    file.

    Raises `ArchiveIncomplete` if Kafka has deleted records that are not archived, `ArchiveUnwritable`,
    `ArchiveDamaged`, `ArchiveInUse`, `ArchiveUnusable`, `ArchiveAway`, `LogUnavailable`.
    """
    store = store_of(url)
    connection = admin.connect(servers)
    info = admin.describe(connection, topic)
    RecordsFile()  # so that a missing library is reported before anything is written
    try:
        with store.locked():
            archive = Archive.open(url)
            archive.check_topic(topic, info.topic_id)
            begins = admin.begin_offsets(connection, topic, info.partitions)
            ends = admin.end_offsets(connection, topic, info.partitions)
            for partition in range(info.partitions):
                manifest = archive.manifests.get(partition) or begun(store, info, partition)
                writer = SpanWriter(store, manifest, report, span_records, span_bytes)
                yield writer.run(
                    servers, begins[partition], ends[partition], covering.get(partition), until_ms=until_ms
                )
    except OSError as error:
        what = f" ({error.filename})" if error.filename else ""
        raise ArchiveUnwritable(
            f"the archive at {shown(url)} cannot be written: {error.strerror or error}{what}. What is complete stays:"
            " run the command again when that is mended, and it goes on from there"
        ) from error


def begun(store: ArchiveStore, info: admin.TopicInfo, partition: int) -> Manifest:
    """An empty manifest, written before the first file: files without one were damaged."""
    manifest = Manifest(topic=info.name, topic_id=info.topic_id, partition=partition)
    store.write(f"{partition}/{FILE}", manifest.encode())
    return manifest


class SpanWriter:
    """Adds to one partition. Only one process may do so in a folder."""

    def __init__(
        self,
        store: ArchiveStore,
        manifest: Manifest,
        report: Report = lambda _: None,
        span_records: int = SPAN_RECORDS,
        span_bytes: int = SPAN_BYTES,
    ) -> None:
        self._store, self._manifest, self._report = store, manifest, report
        self._span_records, self._span_bytes = span_records, span_bytes
        self._partition = manifest.partition
        self._end = 0

    def run(
        self, servers: Servers, begin: int, end: int, covering: Covering | None, *, until_ms: int | None
    ) -> ArchiveAddition:
        """Archive what Kafka has up to `end`. Raises `ArchiveIncomplete`, `OSError`."""
        self._end = end
        archived = self._manifest.end
        if archived is not None and archived < begin:
            raise ArchiveIncomplete(
                f"partition {self._partition} of {self._manifest.topic} begins at offset {begin} in Kafka, and the"
                f" archive ends at {archived}: Kafka deleted the records between them before they were archived. Name"
                " another archive, which begins where Kafka does; a rebuild needs one that begins at 0"
            )
        if archived is not None or not begin:
            # If an older manifest was restored, files that it does not name may be the only copy of their records. So
            # they are removed only where Kafka still has those.
            self._store.remove_left(str(self._partition), {each.file for each in self._manifest.spans}, ENDING)
        start = begin if archived is None else archived
        before = len(self._manifest.spans)
        if start < end:
            try:
                with Reader(servers, self._manifest.topic, {self._partition: start}) as reader:
                    records = (record for _, batch in reader.until({self._partition: end}) for record in batch)
                    self.add(start, end, records, until_ms)
            except OffsetOutOfRange as error:
                raise ArchiveIncomplete(
                    f"Kafka deletes records of partition {self._partition} before they are archived, from {start} on:"
                    " make its retention longer, and archive more often"
                ) from error
        added = self._manifest.spans[before:]
        covered = self._keep(covering)
        last = self._manifest.end
        return ArchiveAddition(
            self._partition,
            start,
            start if last is None else last,
            sum(each.records for each in added),
            len(added),
            0 if last is None else max(0, last - max(covered, self._manifest.begin or 0)),
        )

    def add(self, start: int, end: int, records: Iterable[Record], until_ms: int | None = None) -> None:
        """Archive records, which are all that the partition has from `start` up to `end`. Raises `OSError`."""
        file, first, last = RecordsFile(), None, None
        for record in records:
            if until_ms is not None and record.timestamp_ms >= until_ms:
                end = record.offset if file.records else start
                break
            file.append(record)
            first, last = first or record, record
            if file.records >= self._span_records or file.contents_bytes >= self._span_bytes:
                self._save(start, record.offset + 1, file, first, last)
                start = record.offset + 1
                file, first, last = RecordsFile(), None, None
        if start < end:  # even without any record: Kafka may have a gap up to its end
            self._save(start, end, file, first, last)

    def _save(self, begin: int, next_offset: int, file: RecordsFile, first: Record | None, last: Record | None) -> None:
        data = file.finish()
        digest = sha256(data).hexdigest()
        span = ArchivedSpan(
            file=ArchivedSpan.name(begin, next_offset, digest),
            begin=begin,
            next=next_offset,
            records=file.records,
            first_ms=None if first is None else first.timestamp_ms,
            last_ms=None if last is None else last.timestamp_ms,
            size_bytes=len(data),
            sha256=digest,
        )
        self._store.write(f"{self._partition}/{span.file}", data)
        self._manifest = msgspec.structs.replace(self._manifest, spans=(*self._manifest.spans, span))
        self._store.write(f"{self._partition}/{FILE}", self._manifest.encode())
        self._report(WriteProgress(self._partition, next_offset, self._end))

    def _keep(self, covering: Covering | None) -> int:
        """Keep the newest checkpoint, and return the first offset that it does not cover."""
        if covering is None:
            return 0
        name = f"{CHECKPOINTS}/{self._partition}/{covering.size:020}"
        if name.rpartition("/")[2] not in self._store.names(name.rpartition("/")[0]):
            self._store.write(name, covering.note.encode())
        return covering.next_offset
