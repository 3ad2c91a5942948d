"""The archive as the API reads it: only for detached months, and opened again for each answer."""

import logging
from collections.abc import Iterator
from typing import Final

from pulp_archive.archive import Archive
from pulp_archive.errors import ArchiveError
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
        self, partition: int, start: int = 0, end: int | None = None, *, key: bytes | None = None
    ) -> Iterator[list[Record]]:
        """See `RecordArchive.read`. Raises `ArchiveNotReadable`."""
        try:
            yield from self._open(partition).read(partition, start, end, key=key)
        except ArchiveError as error:
            raise self._failed(error) from error

    def first_after(self, partition: int, time_ms: int, slack_ms: int) -> int | None:
        """See `RecordArchive.first_after`. Raises `ArchiveNotReadable`."""
        try:
            return self._open(partition).first_after(partition, time_ms, slack_ms)
        except ArchiveError as error:
            raise self._failed(error) from error

    def _open(self, partition: int) -> Archive:
        archive = Archive.open(self._url, partition)
        if self._topic:
            archive.check_topic(self._topic, self._topic_id)
        return archive

    def _failed(self, error: ArchiveError) -> ArchiveNotReadable:
        _log.error("the archive cannot be read", extra={"error": str(error)})
        return ArchiveNotReadable(
            "events that this answer needs are in the archive, which cannot be read now: the log of the API says why"
        )
