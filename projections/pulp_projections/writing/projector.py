"""The projector: writes the records of one partition into Postgres. It knows neither Faust nor Kafka.

Exactly once: a batch's rows and its position are committed together, and the position is a fence. So a batch that is
redelivered, duplicated or raced by another processor changes nothing.
"""

import logging
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, errors
from pulp_events.codec import key_of
from pulp_events.errors import PulpError
from pulp_events.reader import Record
from pulp_events.task import FINAL, Task

from pulp_projections.connection import connect
from pulp_projections.detached import NOTHING, detached
from pulp_projections.sql import load
from pulp_projections.stored_tasks import load_tasks
from pulp_projections.writing import small_batch
from pulp_projections.writing.batch_fold import BatchFold, BatchWriter
from pulp_projections.writing.fold import Changes, task_ids
from pulp_projections.writing.history_months import HistoryMonths
from pulp_projections.writing.large_batch import LargeBatchWriter
from pulp_projections.writing.parking import DeadLetter, Parked, Standing
from pulp_projections.writing.poison import REFUSED, find_poison
from pulp_projections.writing.target import ActiveGeneration, GapInBatch, Place, Target

_log: Final = logging.getLogger("pulp.processor")
_CACHED_TASKS: Final = 20_000
_SQL: Final = load("pulp_projections.writing", "parking.sql")

Following = Callable[[], Sequence[Record]]
"""Returns the batch that continues another one; an empty one if it has not arrived yet."""
OnWritten = Callable[[Sequence[Record], Changes], None]
"""Called after a commit with the records, except those written before, and with their changes."""


class ReadModelCorrupt(PulpError):
    """The rows in Postgres do not belong to the position: somebody changed them by hand, or restored only some."""


class Projector:
    """Writes one partition of one generation. One batch at a time; every batch is a transaction.

    The position must be read with `locate` before the first batch, and again after `OutOfPlace` or an
    `OperationalError`. Without a target it writes the active generation.
    """

    def __init__(
        self,
        conninfo: str,
        partition: int,
        target: Target | None = None,
        *,
        on_written: OnWritten = lambda _records, _changes: None,
        most_parked: int | None = None,
    ) -> None:
        """`most_parked`: `project` raises `TooManyParked` rather than have more parked tasks in the generation."""
        self.partition = partition
        self.generation = 0
        self.next_offset = 0
        """The position: the offset of the next record."""
        self._heals = 0
        self._conninfo = conninfo
        self._on_written = on_written
        self._target = target or ActiveGeneration()
        self._small: BatchWriter = small_batch.SmallBatchWriter()
        self._large: BatchWriter = LargeBatchWriter(self._target, most_parked)
        self._connection: AsyncConnection | None = None
        self._months = HistoryMonths()
        self._detached = NOTHING
        self._tasks: OrderedDict[UUID, Task] = OrderedDict()
        self._begun: BatchFold | None = None
        """The fold of the batch that continues the position, if it was begun early."""
        self._parked: Parked | None = None
        """The parked tasks of the partition; None until they are read."""
        self._is_doubted = True
        """Whether tasks that the next batch creates may exist already, so that they are looked up."""

    async def locate(self) -> int:
        """Read the generation and this partition's position in it; returns the position."""
        connection = await self._connect()
        located = await self._target.locate(connection, self.partition)
        if not self._target.is_live:  # the live position is after everything that was ever detached
            self._detached = await detached(connection)
        if located != (self.generation, self.next_offset, self._heals):
            self._forget()  # at another position, or after a task was healed, other rows are current
        self.generation, self.next_offset, self._heals = located
        return self.next_offset

    async def project(self, records: Sequence[Record], following: Following = tuple) -> int:
        """Write the batch, except what is already written; returns the position after it.

        `following` returns the next batch, if there is one, which is folded while Postgres writes this one. It must be
        the very list that is projected next, or it is folded again.

        Raises `OutOfPlace` (nothing written), `ReadModelCorrupt`, or `psycopg.OperationalError` if Postgres went away:
        then the batch may or may not be written, and `locate` tells which.
        """
        rest = rest_of(records, self.partition, self.next_offset)
        if not rest:
            return self.next_offset
        is_again = False
        while True:
            try:
                await self._write_or_set_aside(rest, following)
            except errors.CheckViolation:
                # The part of a month was created while rows of that month were being written to the rest.
                if is_again:
                    raise
                is_again = True
            except errors.UniqueViolation as error:
                if error.diag.table_name != "tasks" and self._is_doubted:
                    raise ReadModelCorrupt(
                        f"partition {self.partition}: rows at or after position {self.next_offset} are there already"
                        f" ({error.diag.message_primary}, {error.diag.message_detail}). Rebuild the read model"
                    ) from error
                # A task existed that was not looked up, or another partition has created it: now it is found.
                self._forget()
            else:
                return self.next_offset

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _write_or_set_aside(self, records: Sequence[Record], following: Following) -> None:
        try:
            await self._write(records, {}, following)
        except REFUSED as error:
            await self._write(records, await self._poison(records, error), following)

    async def _write(self, records: Sequence[Record], refused: Mapping[int, str], following: Following) -> None:
        connection = await self._connect()
        await self._months.prepare(connection, self.generation, records)
        parked = await self._parked_now(connection)
        begun, self._begun = self._begun, None
        is_small = self._target.is_live and not refused and small_batch.is_small(records)
        if is_small:
            batch = await self._small_batch(connection, records, parked)
        elif begun is None or begun.records is not records or refused:
            wanted = task_ids(records)
            known = await self._known(connection, wanted)
            batch = BatchFold(records, wanted, known, refused=refused, parked=parked, detached=self._detached)
        else:
            batch = begun
        # Tasks are read before the fence: if it holds, nobody has written those of this partition since the position.
        if is_small and small_batch.is_plain(batch.changes()):
            changes = await self._small.write(connection, self._place(records), batch)
        else:
            upcoming = await self._upcoming(connection, batch, following())
            async with nullcontext() if upcoming is None else upcoming.ahead():
                changes = await self._large.write(connection, self._place(records), batch)
            self._begun = upcoming
        self._remember(changes)
        self._parked = batch.parked
        self._is_doubted = False
        self.next_offset = records[-1].offset + 1
        self._on_written(records, changes)

    def _place(self, records: Sequence[Record]) -> Place:
        end = records[-1].offset + 1
        return Place(self.generation, self.partition, self.next_offset, end, self._heals)

    async def _small_batch(self, connection: AsyncConnection, records: Sequence[Record], parked: Parked) -> BatchFold:
        """The batch, folded. The tasks that it creates are not looked up: an insert fails if one of them exists.

        As many tasks begin as end, so looking them up would be half of the round trips.
        """
        wanted = task_ids(records)
        known = self._cached(wanted)
        batch = BatchFold(records, wanted, known, parked=parked)
        batch.rows()
        created = set() if self._is_doubted else {task.task_id for task in batch.changes().created}
        if missing := wanted - known.keys() - created:
            batch = BatchFold(records, wanted, known | await load_tasks(connection, missing), parked=parked)
            batch.rows()
        return batch

    async def _upcoming(
        self, connection: AsyncConnection, before: BatchFold, records: Sequence[Record]
    ) -> BatchFold | None:
        """The fold of the batch after one that is not written yet, if it is large enough to begin it early."""
        if small_batch.is_small(records):
            return None
        wanted = task_ids(records)
        known = before.known_before(wanted)
        known |= await self._known(connection, wanted - before.task_ids)
        return BatchFold(records, wanted, known, after=before, detached=self._detached)

    async def _known(self, connection: AsyncConnection, wanted: Set[UUID]) -> dict[UUID, Task]:
        cached = self._cached(wanted)
        missing = wanted - cached.keys()
        return cached | await load_tasks(connection, missing) if missing else cached

    def _cached(self, wanted: Set[UUID]) -> dict[UUID, Task]:
        return {task_id: self._tasks[task_id] for task_id in wanted if task_id in self._tasks}

    async def _parked_now(self, connection: AsyncConnection) -> Parked:
        """The parked tasks. They are read once: nobody else changes them while the position is this one's."""
        if self._parked is None:
            found: dict[bytes, list[DeadLetter]] = {}
            for row in await (await connection.execute(_SQL["parked"], {"partition": self.partition})).fetchall():
                letter = _letter(self.partition, row)
                assert letter.task_id is not None
                found.setdefault(key_of(letter.task_id), []).append(letter)
            self._parked = found
        return self._parked

    def _forget(self) -> None:
        """Discard everything cached about the rows in Postgres."""
        self._parked = None
        self._tasks.clear()
        self._begun = None
        self._is_doubted = True

    def _remember(self, changes: Changes) -> None:
        for task in (*changes.created, *changes.updated):
            if task.state in FINAL:
                self._tasks.pop(task.task_id, None)
            else:
                self._tasks[task.task_id] = task
                self._tasks.move_to_end(task.task_id)
        while len(self._tasks) > _CACHED_TASKS:
            self._tasks.popitem(last=False)

    async def _poison(self, records: Sequence[Record], cause: psycopg.Error) -> Mapping[int, str]:
        """Offset and reason of the records that Postgres cannot store, found in a transaction that is rolled back."""
        connection = await self._connect()
        async with connection.transaction(force_rollback=True):
            await self._target.enter(connection, self._place(records))
            poison = (await find_poison(connection, records, await self._parked_now(connection))).poison
        if not poison:
            raise cause
        _log.warning("records cannot be stored", extra={"partition": self.partition, "offsets": sorted(poison)})
        return poison

    async def _connect(self) -> AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._forget()
            self._connection = await connect(self._conninfo, f"pulp-processor/{self.partition}")
        return self._connection


def _letter(partition: int, row: Sequence[Any]) -> DeadLetter:
    offset, time_ms, reason, key, value, headers, task_id, standing = row
    pairs = tuple((name, None if text is None else b64decode(text)) for name, text in headers)
    record = Record(partition, offset, time_ms, key, value, pairs)
    return DeadLetter(record, reason, task_id, Standing(standing))


def rest_of(records: Sequence[Record], partition: int, next_offset: int) -> Sequence[Record]:
    """The records at and after the position. Raises `GapInBatch` unless they continue it without a gap."""
    rest = records
    if records and records[0].offset < next_offset:
        rest = [record for record in records if record.offset >= next_offset]
    _check_first(rest, partition, next_offset)
    _check_whole(rest, partition)
    return rest


def _check_first(rest: Sequence[Record], partition: int, next_offset: int) -> None:
    if rest and rest[0].offset != next_offset:
        raise GapInBatch(f"partition {partition}: a batch starts at offset {rest[0].offset}, {next_offset} comes next")


def _check_whole(rest: Sequence[Record], partition: int) -> None:
    # The topic is not compacted, and nobody writes to it in transactions: every offset holds a record.
    if rest and rest[-1].offset - rest[0].offset != len(rest) - 1:
        raise GapInBatch(
            f"partition {partition}: records are missing between offsets {rest[0].offset} and {rest[-1].offset}"
        )
