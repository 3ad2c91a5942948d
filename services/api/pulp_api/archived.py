"""The archive as the API reads it: only for detached months, and opened again for each answer."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from pulp_archive.archive import Archive
from pulp_archive.errors import ArchiveError, ArchiveIncomplete
from pulp_events.errors import ReadError
from pulp_events.reader import Record

_log: Final = logging.getLogger("pulp.api")


class ArchiveNotReadable(ReadError):
    """The archive, which has the events that an answer needs, cannot be read. The log of the API says why."""


class DetachedRecords:
    """The records of an archive. Each file's hash is checked before any of its records is returned."""

    def __init__(self, url: str, topic: str = "", topic_id: str = "") -> None:
        """With a topic, an archive of another one is refused."""
        self._url, self._topic, self._topic_id = url, topic, topic_id

    def read(
        self, partition: int, start: int, end: int, *, keys: Collection[bytes] | None = None
    ) -> Iterator[list[Record]]:
        """See `RecordArchive.read`. Raises `ArchiveNotReadable`."""
        with self._refusing():
            yield from self._open(partition, start, end).read(partition, start, end, keys=keys)

    def times(self, partition: int, start: int, end: int) -> Iterator[list[tuple[int, int]]]:
        """See `RecordArchive.times`. Raises `ArchiveNotReadable`."""
        with self._refusing():
            yield from self._open(partition, start, end).times(partition, start, end)

    def count(self, partition: int, start: int, end: int) -> int:
        """See `RecordArchive.count`. Raises `ArchiveNotReadable`."""
        with self._refusing():
            return self._open(partition, start, end).count(partition, start, end)

    def first_after(self, partition: int, start: int, end: int, time_ms: int, slack_ms: int) -> int | None:
        """See `RecordArchive.first_after`. Raises `ArchiveNotReadable`."""
        with self._refusing():
            return self._open(partition, start, end).first_after(partition, time_ms, slack_ms)

    def _open(self, partition: int, start: int, end: int) -> Archive:
        """Raises `ArchiveError`, also for an archive that lacks some of the offsets, which were in it once."""
        archive = Archive.open(self._url, partition)
        if self._topic:
            archive.check_topic(self._topic, self._topic_id)
        manifest = archive.manifests.get(partition)
        if start < end and (manifest is None or (manifest.begin or 0) > start or (manifest.end or 0) < end):
            raise ArchiveIncomplete(
                f"the archive at {archive.url} does not hold partition {partition} from {start} to {end - 1}, which"
                " it had when the months were detached. Restore it, or name the one that has them in PULP_ARCHIVE"
            )
        return archive

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except ArchiveError as error:
            raise self._failed(error) from error

    def _failed(self, error: ArchiveError) -> ArchiveNotReadable:
        _log.error("the archive cannot be read", extra={"error": str(error)})
        return ArchiveNotReadable(
            "events that this answer needs are in the archive, which cannot be read now: the log of the API says why"
        )
