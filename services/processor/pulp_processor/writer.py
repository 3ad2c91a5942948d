"""One partition's writer: takes batches in order, writes each until it is written, seeks when out of place."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import psycopg
from pulp_events.errors import PulpError
from pulp_events.reader import Record

from pulp_processor.projector import OutOfPlace, Projector

Seek = Callable[[int, int], Awaitable[None]]
_QUEUED_BATCHES: Final = 2
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_log = logging.getLogger("pulp.processor")


class Writer:
    """Writes the batches of one partition on a connection of its own, beside the other partitions.

    The next batch waits in a short queue, so that Postgres never waits for Kafka.
    """

    def __init__(self, conninfo: str, partition: int, seek: Seek) -> None:
        self.partition = partition
        self.moved_at = time.monotonic()
        """When the position last moved, by the monotonic clock."""
        self.fault: BaseException | None = None
        self._projector = Projector(conninfo, partition)
        self._seek = seek
        self._queue: asyncio.Queue[tuple[Sequence[Record], Callable[[], object]]] = asyncio.Queue(_QUEUED_BATCHES)
        self._lock = asyncio.Lock()
        self._sought = -1
        self._task = asyncio.create_task(self._run(), name=f"writer-{partition}")

    @property
    def next_offset(self) -> int:
        """The position after the last batch."""
        return self._projector.next_offset

    async def locate(self) -> int:
        """Read the position from Postgres; waits while Postgres is away."""
        async with self._lock:
            return await self._patiently(self._projector.locate)

    async def put(self, records: Sequence[Record], ack: Callable[[], object]) -> None:
        """Hand over a batch; waits while two are queued. `ack` is called when its rows are committed."""
        await self._queue.put((records, ack))

    async def close(self) -> None:
        """End after the batch that is being written; what is queued is read again by the next owner."""
        async with self._lock:
            self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._projector.close()

    async def _run(self) -> None:
        try:
            while True:
                records, ack = await self._queue.get()
                async with self._lock:
                    await self._write(records)
                ack()
        except Exception as error:  # the edge of this task: the watchdog ends the process with it
            _log.exception("a partition cannot be written", extra={"partition": self.partition})
            self.fault = error

    async def _write(self, records: Sequence[Record]) -> None:
        try:
            await self._patiently(lambda: self._projector.project(records))
            self.moved_at = time.monotonic()
        except OutOfPlace as error:
            offset = await self._patiently(self._projector.locate)
            if offset != self._sought:
                _log.warning("reading again from the position in Postgres: %s", error, extra={"offset": offset})
                self._sought = offset
                await self._seek(self.partition, offset)
        else:
            self._sought = -1

    async def _patiently(self, action: Callable[[], Awaitable[int]]) -> int:
        """Do it; while Postgres is away, wait and do it again from the position that Postgres then tells."""
        failures = 0
        while True:
            try:
                if failures:
                    await self._projector.locate()
                return await action()
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                pause = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                failures += 1
                _log.warning("Postgres is away, trying again in %.1f s: %s", pause, str(error).strip())
                await self._projector.close()
                await asyncio.sleep(pause)


async def watch(
    writers: Callable[[], Sequence[Writer]], ends: Callable[[], Awaitable[dict[int, int]]], stall_s: float
) -> None:
    """Ends with an error when a partition has a fault, or has lag and does not move for `stall_s`.

    Faust can look alive and read nothing; a process that ends is started again, one that hangs is not.
    """
    while True:
        await asyncio.sleep(min(1.0, stall_s / 4))
        for writer in writers():
            if writer.fault is not None:
                raise PulpError(f"partition {writer.partition} cannot be written") from writer.fault
        stalled = [writer for writer in writers() if time.monotonic() - writer.moved_at > stall_s]
        if not stalled:
            continue
        end = await ends()
        for writer in stalled:
            if end.get(writer.partition, 0) > writer.next_offset:
                raise PulpError(
                    f"partition {writer.partition} is at {writer.next_offset} of {end[writer.partition]} and has not"
                    f" moved for {stall_s:g} s"
                )
            writer.moved_at = time.monotonic()
