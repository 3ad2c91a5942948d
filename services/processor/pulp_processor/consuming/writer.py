"""The writer of one partition: it projects batches in order, retries each until it is committed, and seeks back when a
batch does not continue the position in Postgres."""

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
from pulp_projections.writing.fold import Changes
from pulp_projections.writing.parking import Standing
from pulp_projections.writing.projector import Projector
from pulp_projections.writing.target import OutOfPlace
from pulp_runtime.telemetry.catalog import (
    BATCH_EVENTS,
    COMMIT_SECONDS,
    DEAD,
    DELAY_SECONDS,
    IGNORED,
    PROJECTED,
    READ_AGAIN,
)
from pulp_runtime.telemetry.metric import NO_METER, Meter

from pulp_processor.consuming.flow import FEW_RECORDS, WriterLoad
from pulp_processor.consuming.internals import Batch
from pulp_processor.consuming.lag import InHand
from pulp_processor.consuming.rereading import Rereads
from pulp_processor.consuming.traces import ProjectionTraces

_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_CLOSE_S: Final = 10.0
_log = logging.getLogger("pulp.processor")


class NoProgress(PulpError):
    """The batches of a partition do not continue its position, even after it was read again: see `Rereads`."""


class WriterListener(Protocol):
    """What a writer needs from its owner, and reports to it."""

    async def seek(self, partition: int, offset: int) -> None:
        """Read the partition from the offset on."""
        ...

    def on_capacity(self) -> None:
        """The writer has dequeued or committed a batch."""
        ...

    def on_committed(self) -> None:
        """A batch is committed."""
        ...

    def on_fault(self, error: Exception) -> None:
        """The writer has failed for good; the batches that it had in hand are not written."""
        ...


class _Queued(NamedTuple):
    records: Sequence[Record]
    epoch: int


def next_of(queue: deque[_Queued]) -> _Queued:
    """Dequeue what one transaction projects: the first batch, and while that is few records, what continues it."""
    first = queue.popleft()
    records = first.records
    while queue and len(records) < FEW_RECORDS and _continues(queue[0], first.epoch, records):
        records = [*records, *queue.popleft().records]
    return _Queued(records, first.epoch)


def _continues(batch: _Queued, epoch: int, records: Sequence[Record]) -> bool:
    return batch.epoch == epoch and batch.records[0].offset == records[-1].offset + 1


class PartitionWriter:
    """Writes the batches of one partition, on a connection of its own and concurrently with the other partitions.

    The next batches are queued meanwhile, so that Postgres never waits for Kafka. If only a few records are queued,
    they are committed together with those that follow.
    """

    def __init__(
        self,
        conninfo: str,
        partition: int,
        listener: WriterListener,
        *,
        most_parked: int | None = None,
        meter: Meter = NO_METER,
        traces: ProjectionTraces | None = None,
    ) -> None:
        """`most_parked`: see `Projector`."""
        self.partition = partition
        self.epoch = 0
        """How often reading has started over. An out-of-place batch from an earlier epoch is dropped silently."""
        self.is_waiting_for_postgres = False
        """Postgres is away: the batch in flight is being retried."""
        self.seeks = 0
        """How often a batch was out of place, so that reading started over."""
        self._listener = listener
        self._meter = meter
        self._traces = traces
        self._projector = Projector(conninfo, partition, on_written=self._count, most_parked=most_parked)
        self._queue: deque[_Queued] = deque()
        self._filled = asyncio.Event()
        self._lock = asyncio.Lock()
        self._in_flight = 0
        self._in_flight_since_s = 0.0
        self._in_flight_from_ms = 0
        self._in_flight_from_ns = 0
        self._is_closing = False
        self._is_paused = True
        self._rereads = Rereads()
        self._task = asyncio.create_task(self._run(), name=f"writer-{partition}")

    @property
    def next_offset(self) -> int:
        """The offset after the last committed batch."""
        return self._projector.next_offset

    @property
    def is_located(self) -> bool:
        """Whether the position has been read from Postgres; until then `next_offset` has no meaning."""
        return self.epoch > 0

    def load(self) -> WriterLoad:
        """What this writer has queued and in flight."""
        queue = self._queue
        return WriterLoad(
            epoch=self.epoch,
            is_reading=not self._is_paused,
            queued_batches=len(queue),
            queued_records=sum(len(batch.records) for batch in queue),
            next_is_large=bool(queue) and not small_batch.is_small(queue[0].records),
            in_flight=self._in_flight,
            in_flight_s=time.monotonic() - self._in_flight_since_s if self._in_flight else 0.0,
        )

    def in_hand(self) -> InHand:
        """Its position, and since when its oldest received record has waited."""
        if self._in_flight:
            return InHand(self.next_offset, self._in_flight_from_ms)
        return InHand(self.next_offset, self._queue[0].records[0].timestamp_ms if self._queue else None)

    def pause(self) -> None:
        """Ask for no batches until `resume`: the position to read from is not known yet."""
        self._is_paused = True

    def resume(self) -> None:
        """The partition is being read from the position that `locate` returned."""
        self._is_paused = False

    async def locate(self) -> int:
        """Drop the queue and read the position from Postgres, to read from there. Waits while Postgres is away."""
        async with self._lock:
            self._queue.clear()
            offset = await self._with_retries(self._projector.locate)
            self.epoch += 1
            return offset

    async def check_position(self) -> None:
        """Seek back if Postgres lost the last batches: after a failover the new server may lack them.

        The next batch would reveal that; this check is for idle partitions. Waits while Postgres is away.
        """
        async with self._lock:
            if self._is_paused or self._is_closing or self._queue:
                return
            before = self.next_offset
            offset = await self._with_retries(self._projector.locate)
            if offset != before:
                _log.warning(
                    "reading again from the position in Postgres: it has lost what was written up to offset %d",
                    before,
                    extra={"partition": self.partition, "offset": offset},
                )
                await self._listener.seek(self.partition, offset)
                self.epoch += 1

    def put(self, batch: Batch) -> None:
        """Queue a batch. Its list is copied, so the caller may change it afterwards."""
        self._queue.append(_Queued(batch.records.copy(), batch.epoch))
        self._filled.set()

    async def close(self) -> None:
        """Finish the batch in flight and end. The partition's next owner reads again what is still queued."""
        self._is_closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S), self._lock:
                self._task.cancel()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._projector.close()

    async def _run(self) -> None:
        try:
            while True:
                await self._filled.wait()
                async with self._lock:
                    if self._queue:
                        self._listener.on_capacity()
                        await self._write(next_of(self._queue))  # a local variable would keep the batch in memory
                        self._listener.on_capacity()
                    else:
                        self._filled.clear()
        except Exception as error:  # the edge of this task: the process ends with it
            if self._is_closing:
                _log.warning("a batch was not written: %s", error, extra={"partition": self.partition})
            else:
                self._listener.on_fault(error)

    async def _write(self, batch: _Queued) -> None:
        self._in_flight, self._in_flight_since_s = len(batch.records), time.monotonic()
        self._in_flight_from_ms = batch.records[0].timestamp_ms
        self._in_flight_from_ns = time.time_ns()
        try:
            await self._with_retries(lambda: self._projector.project(batch.records, lambda: self._following(batch)))
        except OutOfPlace as error:
            if batch.epoch == self.epoch:
                await self._read_again(error)
        else:
            self._rereads = Rereads()
            self._meter.observe(COMMIT_SECONDS, time.monotonic() - self._in_flight_since_s)
            self._listener.on_committed()
        finally:
            self._in_flight = 0

    def _count(self, records: Sequence[Record], changes: Changes) -> None:
        """A batch is committed."""
        meter = self._meter
        meter.observe(BATCH_EVENTS, len(records))
        meter.observe(DELAY_SECONDS, max(0.0, time.time() - records[0].timestamp_ms / 1000))
        meter.count(PROJECTED, str(self.partition), by=len(records))
        for reason, number in changes.ignored.items():
            meter.count(IGNORED, str(reason), by=number)
        if changes.dead_letters:
            meter.count(DEAD, by=sum(letter.standing is not Standing.WAITS for letter in changes.dead_letters))
        if self._traces is not None:
            self._traces.projected(records, self._in_flight_from_ns)

    def _following(self, batch: _Queued) -> Sequence[Record]:
        if self._queue and _continues(self._queue[0], batch.epoch, batch.records):
            return self._queue[0].records
        return ()

    async def _read_again(self, error: OutOfPlace) -> None:
        self.seeks += 1
        self._meter.count(READ_AGAIN)
        await asyncio.sleep(self._rereads.pause_s)
        offset = await self._with_retries(self._projector.locate)
        self._rereads = self._rereads.at(offset, time.monotonic())
        if (reason := self._rereads.reason_to_give_up) is not None:
            raise NoProgress(f"partition {self.partition}: {reason}: {error}") from error
        _log.warning("reading again from the position in Postgres: %s", error, extra={"offset": offset})
        await self._listener.seek(self.partition, offset)
        self.epoch += 1

    async def _with_retries(self, action: Callable[[], Awaitable[int]]) -> int:
        """Run the action; while Postgres is away, wait, read the position again, and retry."""
        is_retry = False

        async def attempt() -> int:
            nonlocal is_retry
            if is_retry:
                await self._projector.locate()
            is_retry = True
            return await action()

        result = await keep_trying(attempt, self._wait_for_postgres, pauses_s=_BACKOFF_S)
        self.is_waiting_for_postgres = False
        return result

    async def _wait_for_postgres(self, error: Exception, pause_s: float) -> None:
        if self._is_closing:
            raise error
        self.is_waiting_for_postgres = True
        _log.warning(
            "Postgres did not take a batch, trying again: %s",
            reason_of(error),
            extra={"partition": self.partition, "pause_s": pause_s},
        )
        await self._projector.close()
