"""One partition of the log from an offset on: the archive as far as it reaches, and Kafka from there."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from pulp_archive.archive import Archive
from pulp_events.kafka import Servers
from pulp_events.reader import Record

from pulp_processor.consuming.partition_reader import PartitionReader


class LogReader:
    """Reads a partition in order and never skips a record, as `PartitionReader` does. Not for concurrent use.

    In memory are one file of the archive, or one fetch. Kafka is asked for nothing that is archived.
    """

    def __init__(self, servers: Servers, topic: str, partition: int, start: int, archive: str | None) -> None:
        self.next_offset = start
        """The offset of the next record."""
        self._servers, self._topic, self._partition = servers, topic, partition
        self._url = archive
        self._archived_end = 0
        self._batches: Iterator[list[Record]] | None = None
        self._left: list[Record] = []
        self._kafka: PartitionReader | None = None
        self._stack = AsyncExitStack()

    async def read(self, end: int, *, most: int) -> list[Record]:
        """The next records before `end`: at least one, at most `most`; [] at the end.

        Waits while Kafka is away. Raises what `PartitionReader.read` does; of an archive `ArchiveDamaged`, which names
        a file that is missing or altered before any of its records is returned, and `ArchiveAway`.
        """
        while self.next_offset < min(end, self._archived_end):
            if records := await self._read_archive(min(end, self._archived_end), most):
                return records
        if self.next_offset >= end:
            return []
        if self._kafka is None:
            reader = PartitionReader(self._servers, self._topic, self._partition, self.next_offset)
            self._kafka = await self._stack.enter_async_context(reader)
        records = await self._kafka.read(end, most=most)
        self.next_offset = self._kafka.next_offset
        return records

    async def __aenter__(self) -> Self:
        """Read the archive's manifest. Raises `ArchiveDamaged`, `ArchiveUnusable`, `ArchiveAway`."""
        if self._url is not None:
            archive = await asyncio.to_thread(Archive.open, self._url, self._partition)
            manifest = archive.manifests.get(self._partition)
            if manifest is not None and manifest.begin is not None and manifest.begin <= self.next_offset:
                self._archived_end = archive.end(self._partition)
            self._batches = archive.read(self._partition, self.next_offset)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _read_archive(self, end: int, most: int) -> list[Record]:
        """The next records before `end`; [] if there are none, and then the position is `end`."""
        if not self._left:
            assert self._batches is not None  # otherwise nothing is archived
            self._left = await asyncio.to_thread(next, self._batches, [])
        if not self._left:
            self.next_offset = self._archived_end
            return []
        records = [record for record in self._left[:most] if record.offset < end]
        if not records:
            self.next_offset = end
            return []
        self._left = self._left[len(records) :]
        self.next_offset = records[-1].offset + 1
        return records
