"""One partition's writer: takes batches in order, writes each until it is written, seeks when out of place."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from pulp_events.errors import PulpError
from pulp_events.reader import Record
from pulp_projections.away import keep_trying, reason_of
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import OutOfPlace, Projector

from pulp_processor.consuming.transport import Batch

_SLOW_S: Final = 1.0
_FEW_RECORDS: Final = 4
"""Fewer that wait are no reason to read nothing more of their partition: a task's end and the next start are two."""
_MOST_SEEKS: Final = 5
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_CLOSE_S: Final = 10.0
_log = logging.getLogger("pulp.processor")


class NoProgress(PulpError):
    """A partition's batches do not continue its position, however often it is read again."""


class Listener(Protocol):
    """What a writer tells, and what it asks for."""

    async def seek(self, partition: int, offset: int) -> None:
        """Read the partition from the offset on."""
        ...

    def on_room(self) -> None:
        """The writer has taken a batch out of its queue, or written one."""
        ...

    def on_committed(self) -> None:
        """A batch is committed."""
        ...

    def on_fault(self, error: Exception) -> None:
        """The writer has ended with this error; what it had is not written."""
        ...


class _Queued(NamedTuple):
    records: Sequence[Record]
    epoch: int


def next_of(queue: deque[_Queued]) -> _Queued:
    """Take the first batch; where it is only few records, also what continues it, for one transaction."""
    first = queue.popleft()
    records = first.records
    while queue and len(records) < _FEW_RECORDS and _continues(queue[0], first.epoch, records):
        records = [*records, *queue.popleft().records]
    return _Queued(records, first.epoch)


def _continues(batch: _Queued, epoch: int, records: Sequence[Record]) -> bool:
    return batch.epoch == epoch and batch.records[0].offset == records[-1].offset + 1


class Writer:
    """Writes the batches of one partition on a connection of its own, beside the other partitions.

    The next batches are queued meanwhile, so that Postgres never waits for Kafka; a few records
    that wait are written with what follows them.
    """

    def __init__(self, conninfo: str, partition: int, listener: Listener) -> None:
        self.partition = partition
        self.epoch = 0
        """How often reading began anew. A batch of an earlier epoch that is out of place is no news."""
        self.is_waiting = False
        """Postgres is away."""
        self.seeks = 0
        """How often a batch was out of place."""
        self._listener = listener
        self._projector = Projector(conninfo, partition)
        self._queue: deque[_Queued] = deque()
        self._filled = asyncio.Event()
        self._lock = asyncio.Lock()
        self._writing = 0
        self._began_s = 0.0
        self._is_closing = False
        self._is_paused = True
        self._seeks_in_a_row = 0
        self._task = asyncio.create_task(self._run(), name=f"writer-{partition}")

    @property
    def next_offset(self) -> int:
        """The position after the last batch."""
        return self._projector.next_offset

    @property
    def is_located(self) -> bool:
        """Whether the position was read: until then `next_offset` means nothing."""
        return self.epoch > 0

    @property
    def has_room(self) -> bool:
        """Whether it wants another batch; it takes more all the same.

        It does behind a large one, which is folded early.
        """
        if self._is_paused:
            return False
        is_large = len(self._queue) == 1 and not small_batch.is_small(self._queue[0].records)
        return is_large or self._queued < _FEW_RECORDS

    @property
    def held(self) -> int:
        """Records that it has, and has not written. 0 once Postgres keeps it waiting: the others go on without it."""
        if self._writing and time.monotonic() - self._began_s > _SLOW_S:
            return 0
        return self._writing + self._queued

    def pause(self) -> None:
        """Want no batches until `resume`: it is not known yet where reading goes on."""
        self._is_paused = True

    def resume(self) -> None:
        """Reading goes on at the position that `locate` has told."""
        self._is_paused = False

    async def locate(self) -> int:
        """Forget what is queued, and read the position from Postgres: reading begins there. Waits for Postgres."""
        async with self._lock:
            self._queue.clear()
            offset = await self._patiently(self._projector.locate)
            self.epoch += 1
            return offset

    async def look(self) -> None:
        """Read again if Postgres is not where this writer left it: a server that took over may lack the last batches.

        The next batch would tell; this is for a partition in which nothing happens. Waits for Postgres.
        """
        async with self._lock:
            if self._is_paused or self._is_closing or self._queue:
                return
            before = self.next_offset
            offset = await self._patiently(self._projector.locate)
            if offset != before:
                words = (
                    "reading again from the position in Postgres: it does not have what was written up to %d any more"
                )
                _log.warning(words, before, extra={"partition": self.partition, "offset": offset})
                await self._listener.seek(self.partition, offset)
                self.epoch += 1

    def put(self, batch: Batch) -> None:
        """Hand over a batch, whose list remains its owner's."""
        self._queue.append(_Queued(batch.records.copy(), batch.epoch))
        self._filled.set()

    async def close(self) -> None:
        """End after the batch that is being written; what is queued is read again by the next owner."""
        self._is_closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S), self._lock:
                self._task.cancel()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._projector.close()

    @property
    def _queued(self) -> int:
        return sum(len(batch.records) for batch in self._queue)

    async def _run(self) -> None:
        try:
            while True:
                await self._filled.wait()
                async with self._lock:
                    if self._queue:
                        self._listener.on_room()
                        await self._write(next_of(self._queue))  # no name for it here: it would keep the batch
                        self._listener.on_room()
                    else:
                        self._filled.clear()
        except Exception as error:  # the edge of this task: the process ends with it
            if self._is_closing:
                _log.warning("a batch was not written: %s", error, extra={"partition": self.partition})
            else:
                self._listener.on_fault(error)

    async def _write(self, batch: _Queued) -> None:
        self._writing, self._began_s = len(batch.records), time.monotonic()
        try:
            await self._patiently(lambda: self._projector.project(batch.records, lambda: self._following(batch)))
        except OutOfPlace as error:
            if batch.epoch == self.epoch:
                await self._read_again(error)
        else:
            self._seeks_in_a_row = 0
            self._listener.on_committed()
        finally:
            self._writing = 0

    def _following(self, batch: _Queued) -> Sequence[Record]:
        if self._queue and _continues(self._queue[0], batch.epoch, batch.records):
            return self._queue[0].records
        return ()

    async def _read_again(self, error: OutOfPlace) -> None:
        self.seeks += 1
        self._seeks_in_a_row += 1
        if self._seeks_in_a_row > _MOST_SEEKS:
            raise NoProgress(
                f"partition {self.partition} was read {_MOST_SEEKS} times from its position, and does not continue"
                f" there: {error}. Either the log lacks records (compaction, or a producer that writes in Kafka"
                " transactions, whose markers take offsets: this topic allows neither), or another processor that is"
                " not in the consumer group writes the same database"
            ) from error
        offset = await self._patiently(self._projector.locate)
        _log.warning("reading again from the position in Postgres: %s", error, extra={"offset": offset})
        await self._listener.seek(self.partition, offset)
        self.epoch += 1

    async def _patiently(self, action: Callable[[], Awaitable[int]]) -> int:
        """Do it; while Postgres is away, wait and do it again from the position that Postgres then tells."""

        is_again = False

        async def attempt() -> int:
            nonlocal is_again
            if is_again:
                await self._projector.locate()
            is_again = True
            return await action()

        result = await keep_trying(attempt, self._wait_for_postgres, pauses_s=_BACKOFF_S)
        self.is_waiting = False
        return result

    async def _wait_for_postgres(self, error: Exception, pause_s: float) -> None:
        if self._is_closing:
            raise error
        self.is_waiting = True
        _log.warning(
            "Postgres did not take a batch, trying again: %s",
            reason_of(error),
            extra={"partition": self.partition, "pause_s": pause_s},
        )
        await self._projector.close()
