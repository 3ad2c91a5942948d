"""Reads an archive. It reads a whole file and checks its hash before it returns any of its records."""

from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from typing import Final, NamedTuple, Self

from pulp_events.reader import Record

from pulp_archive.errors import ArchiveDamaged, ArchiveIncomplete
from pulp_archive.manifest import CHECKPOINTS, ENDING, FILE, ArchivedSpan, Manifest, NotManifest
from pulp_archive.parquet import NotRecords, OffsetSpan, first_later, records_of, times_of
from pulp_archive.stores import ArchiveStore, shown, store_of

_AT_ONCE: Final = 5000
OnFault = Callable[[ArchiveDamaged], None]


class KeptNote(NamedTuple):
    """A checkpoint that the archive holds."""

    place: str
    text: str


class Archive:
    """The spans of each partition, as their manifests say."""

    def __init__(self, url: str, store: ArchiveStore, manifests: dict[int, Manifest]) -> None:
        self.url = shown(url)
        """Its name in messages."""
        self._store = store
        self.manifests = manifests

    @classmethod
    def open(cls, url: str, only: int | None = None) -> Self:
        """Read the manifests, or only one partition's. An archive that was never written is empty.

        Raises `ArchiveUnusable`, `ArchiveAway`, and `ArchiveDamaged`, which names the file.
        """
        store = store_of(url)
        folders = [name for name in store.names("") if name.isascii() and name.isdecimal()] if only is None else []
        manifests = {}
        for partition in sorted(map(int, folders)) if only is None else [only]:
            if (manifest := read_manifest(store, partition)) is not None:
                manifests[partition] = manifest
            elif any(name.endswith(ENDING) for name in store.names(str(partition))):
                place = store.place(f"{partition}/{FILE}")
                raise ArchiveDamaged(f"{place} is missing: restore it from a copy of the archive", place, True)
        if len({(each.topic, each.topic_id) for each in manifests.values()}) > 1:
            place = shown(url)
            raise ArchiveDamaged(f"the archive at {place} holds several topics: its folders were mixed", place)
        return cls(url, store, manifests)

    @property
    def partitions(self) -> list[int]:
        """The partitions with archived files."""
        return [partition for partition, manifest in self.manifests.items() if manifest.spans]

    def end(self, partition: int) -> int:
        """The first offset that is not archived; 0 if none is."""
        manifest = self.manifests.get(partition)
        return 0 if manifest is None else manifest.end or 0

    def check_topic(self, topic: str, topic_id: str) -> None:
        """Raises `ArchiveDamaged` if it is the archive of another topic, or of one that was created again."""
        for partition, manifest in self.manifests.items():
            if (manifest.topic, manifest.topic_id) != (topic, topic_id):
                raise ArchiveDamaged(
                    f"the archive at {self.url} is of topic {manifest.topic} (id {manifest.topic_id}), not of {topic}"
                    f" (id {topic_id}): its offsets mean something else. Name another archive in PULP_ARCHIVE",
                    self._store.place(f"{partition}/{FILE}"),
                )

    def check_reach(self, topic: str, begins: dict[int, int]) -> None:
        """Raises `ArchiveIncomplete` unless it holds all records before these offsets, where Kafka begins."""
        for partition, begin in begins.items():
            manifest = self.manifests.get(partition)
            first, end = (None, None) if manifest is None else (manifest.begin, manifest.end)
            if begin > 0 and (first is None or end is None):
                has = "holds nothing of it"
            elif first:
                has = f"begins at {first}"
            elif end is not None and end < begin:
                has = f"ends at {end}"
            else:
                continue
            raise ArchiveIncomplete(
                f"partition {partition} of {topic} begins at offset {begin} in Kafka, and the archive at {self.url}"
                f" {has}: the records between them are in neither. Restore the archive, or name the one that has them"
                " in PULP_ARCHIVE"
            )

    def read(
        self,
        partition: int,
        start: int = 0,
        end: int | None = None,
        *,
        most: int = _AT_ONCE,
        on_fault: OnFault | None = None,
        keys: Collection[bytes] | None = None,
    ) -> Iterator[list[Record]]:
        """The records of a partition from an offset on, at most `most` at once; with `keys`, only those with these.

        It does not read files that begin at `end` or later, but may yield some records from `end` on of other files.

        Raises `ArchiveDamaged` for the first file that is missing or altered, before it yields any of its records. If
        `on_fault` is given, it calls that instead, and yields the records of the file that can be read.
        """
        within = OffsetSpan(start) if end is None else OffsetSpan(start, end)
        for span in self._spans(partition, within):
            try:
                data = self._data(partition, span, on_fault)
                for records in records_of(data, most, keys, within):
                    if wanted := [record for record in records if record.offset >= start]:
                        yield wanted
            except NotRecords as error:
                _fail(self._damaged(partition, span, f"is not a file of records: {error}"), on_fault)
            except ArchiveDamaged as error:
                _fail(error, on_fault)

    def first_after(self, partition: int, time_ms: int, slack_ms: int) -> int | None:
        """The offset of the first record after a time, by the broker's clock; None if there is none.

        Files whose first and last records are more than `slack_ms` earlier are skipped. Raises `ArchiveDamaged`.
        """
        manifest = self.manifests.get(partition)
        for span in manifest.spans if manifest is not None else ():
            if max(span.first_ms or 0, span.last_ms or 0) < time_ms - slack_ms:
                continue
            try:
                found = first_later(self._data(partition, span, None), time_ms)
            except NotRecords as error:
                raise self._damaged(partition, span, f"is not a file of records: {error}") from error
            if found is not None:
                return found
        return None

    def times(self, partition: int, start: int, end: int) -> Iterator[list[tuple[int, int]]]:
        """Offset and broker's time of the records of a partition between two offsets, in order, some at a time.

        Raises `ArchiveDamaged`.
        """
        within = OffsetSpan(start, end)
        for span in self._spans(partition, within):
            try:
                for found in times_of(self._data(partition, span, None), within):
                    yield [each for each in found if start <= each[0] < end]
            except NotRecords as error:
                raise self._damaged(partition, span, f"is not a file of records: {error}") from error

    def count(self, partition: int, start: int, end: int) -> int:
        """How many records are in the files that `read` and `times` open between these offsets, by the manifest."""
        return sum(span.records for span in self._spans(partition, OffsetSpan(start, end)))

    def faults(self) -> Iterator[ArchiveDamaged]:
        """The missing or altered files of all partitions, including manifests that checkpoints mention."""
        for partition in self._vouched():
            if partition not in self.manifests and (notes := self.notes(partition)):
                place = self._store.place(f"{partition}/{FILE}")
                told = f"{place} is missing, and {notes[-1].place} covers records of partition {partition}"
                yield ArchiveDamaged(f"{told}: restore the folder from a copy of the archive", place, True)
        for partition, manifest in self.manifests.items():
            for span in manifest.spans:
                try:
                    self._data(partition, span, None)
                except ArchiveDamaged as error:
                    yield error

    def _vouched(self) -> list[int]:
        """The partitions that have a stored checkpoint with records."""
        found = [name for name in self._store.names(CHECKPOINTS) if name.isascii() and name.isdecimal()]
        return sorted(int(each) for each in found if any(int(name) for name in self._sizes(each)))

    def _sizes(self, partition: str) -> list[str]:
        names = self._store.names(f"{CHECKPOINTS}/{partition}")
        return [name for name in names if name.isascii() and name.isdecimal()]

    def notes(self, partition: int) -> list[KeptNote]:
        """The checkpoints of a partition's log, the oldest first. Nothing vouches for them but their signatures."""
        folder = f"{CHECKPOINTS}/{partition}"
        names = [f"{folder}/{name}" for name in self._sizes(str(partition))]
        return [KeptNote(self._store.place(name), self._store.read(name).decode(errors="replace")) for name in names]

    def _spans(self, partition: int, within: OffsetSpan) -> Iterator[ArchivedSpan]:
        """The files that have offsets in this span."""
        manifest = self.manifests.get(partition)
        for span in manifest.spans if manifest is not None else ():
            if span.next > within.start and span.begin < within.end:
                yield span

    def _data(self, partition: int, span: ArchivedSpan, on_fault: OnFault | None) -> bytes:
        try:
            data = self._store.read(f"{partition}/{span.file}")
        except FileNotFoundError as error:
            raise self._damaged(partition, span, "is missing", is_missing=True) from error
        if len(data) != span.size_bytes or sha256(data).hexdigest() != span.sha256:
            _fail(self._damaged(partition, span, "was altered: it does not have the hash of its manifest"), on_fault)
        return data

    def _damaged(self, partition: int, span: ArchivedSpan, how: str, *, is_missing: bool = False) -> ArchiveDamaged:
        place = self._store.place(f"{partition}/{span.file}")
        return ArchiveDamaged(
            f"{place} {how}. It holds partition {partition} from {span.begin} to {span.next - 1}: restore it from a"
            " copy of the archive",
            place,
            is_missing,
        )


def read_manifest(store: ArchiveStore, partition: int) -> Manifest | None:
    """The manifest of a partition; None if nothing was archived. Raises `ArchiveDamaged`, `ArchiveAway`."""
    name = f"{partition}/{FILE}"
    place = store.place(name)
    try:
        return Manifest.decode(store.read(name), partition)
    except FileNotFoundError:
        return None
    except NotManifest as error:
        raise ArchiveDamaged(f"{place} was altered: {error}. Restore it from a copy of the archive", place) from error


def _fail(error: ArchiveDamaged, on_fault: OnFault | None) -> None:
    if on_fault is None:
        raise error
    on_fault(error)
