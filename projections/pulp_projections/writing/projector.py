"""The projector: the records of one partition → one Postgres transaction. It knows neither Faust nor Kafka.

Exactly once: a batch's rows and its position are committed together, and the position is a fence. So a batch that is
redelivered, duplicated or raced by another processor changes nothing.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from typing import ClassVar, Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, errors
from pulp_events.errors import PulpError
from pulp_events.reader import Record
from pulp_events.task import FINAL, Task

from pulp_projections.connection import connect
from pulp_projections.schemas import schema_of
from pulp_projections.sql import load
from pulp_projections.writing import small_batch, store
from pulp_projections.writing.batch_fold import BatchFold
from pulp_projections.writing.fold import Changes, Fold, fold, task_ids

_SQL = load("pulp_projections.writing", "projector.sql")
_log = logging.getLogger("pulp.processor")
_CACHED_TASKS: Final = 20_000
_REFUSED: Final = (errors.DataError, errors.ProgramLimitExceeded, errors.StatementTooComplex)
"""What Postgres says of a row that it cannot hold, whoever writes it and however often."""

Following = Callable[[], Sequence[Record]]
"""Tells the batch that continues another one; an empty one if none is there yet."""


class OutOfPlace(PulpError):
    """The batch does not continue the position in Postgres: nothing was written. Seek there and go on."""


class FenceLost(OutOfPlace):
    """Another processor has moved the partition's position."""


class GapInBatch(OutOfPlace):
    """The batch starts after the position, or records are missing within it."""


class GenerationChanged(OutOfPlace):
    """Another generation of the read model is active now."""


class ReadModelCorrupt(PulpError):
    """The rows in Postgres are not those that belong to the position: changed by hand, or restored in part."""


class Projector:
    """Writes one partition of one generation. One batch at a time; every batch is a transaction.

    The position must be read with `locate` before the first batch, and again after `OutOfPlace` or an
    `OperationalError`.
    """

    _is_live: ClassVar = True
    """Workers hear of it, and dead letters are still to be sent."""

    def __init__(self, conninfo: str, partition: int) -> None:
        self.partition = partition
        self.generation = 0
        self.next_offset = 0
        """The position: the offset that comes next."""
        self._conninfo = conninfo
        self._connection: AsyncConnection | None = None
        self._tasks: OrderedDict[UUID, Task] = OrderedDict()
        self._begun: BatchFold | None = None
        """Of the batch that continues the position."""
        self._is_doubted = True
        """What the next batch makes may be there already: it is asked for."""

    async def locate(self) -> int:
        """Read the active generation and this partition's position in it; the position."""
        connection = await self._connect()
        cursor = await connection.execute(_SQL["locate"], {"partition": self.partition})
        row = await cursor.fetchone()
        if row is None:
            raise PulpError(f"the read model has no position of partition {self.partition}: was it installed?")
        if row != (self.generation, self.next_offset):
            self._forget()  # the rows of another position; at the same one they are the same
        self.generation, self.next_offset = row
        await small_batch.prepare(connection, self.generation)
        return self.next_offset

    async def project(self, records: Sequence[Record], following: Following = tuple) -> int:
        """Write the batch; the position after it. Records before the position were written before, and are left out.

        `following` tells the batch that continues it, if there is one already: that is folded while Postgres writes
        this one, and has to be the very list that is projected next, or it is folded again.

        Raises `OutOfPlace` (nothing written), `ReadModelCorrupt`, or `psycopg.OperationalError` if Postgres went
        away: then it is not known whether the batch was written, and `locate` tells.
        """
        rest = rest_of(records, self.partition, self.next_offset)
        if not rest:
            return self.next_offset
        while True:
            try:
                await self._write_or_set_aside(rest, following)
            except errors.UniqueViolation as error:
                if error.diag.table_name != "tasks" and self._is_doubted:
                    raise ReadModelCorrupt(
                        f"partition {self.partition}: rows at or after position {self.next_offset} are there already"
                        f" ({error.diag.message_primary}, {error.diag.message_detail}). Rebuild the read model"
                    ) from error
                # The task was there, which was not asked, or another partition made it meanwhile: now it is seen.
                self._forget()
            else:
                return self.next_offset

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _write_or_set_aside(self, records: Sequence[Record], following: Following) -> None:
        try:
            await self._transaction(records, {}, following)
        except _REFUSED as error:
            await self._transaction(records, await self._poison(records, error), following)

    async def _transaction(self, records: Sequence[Record], refused: Mapping[int, str], following: Following) -> None:
        connection = await self._connect()
        end = records[-1].offset + 1
        begun, self._begun = self._begun, None
        may_be_small = self._is_live and not refused and small_batch.is_small(records)
        if not may_be_small or not await self._write_small(connection, records, end):
            async with connection.transaction():
                await self._enter(connection, end)
                if begun is None or begun.records is not records or refused:
                    wanted = task_ids(records)
                    begun = BatchFold(records, wanted, await self._known(connection, wanted), refused=refused)
                upcoming = await self._upcoming(connection, begun, following())
                async with nullcontext() if upcoming is None else upcoming.ahead():
                    changes = await self._write(connection, begun)
            self._begun = upcoming
            self._remember(changes)
        self.next_offset = end

    async def _write(self, connection: AsyncConnection, batch: BatchFold) -> Changes:
        await store.write_history(connection, batch.history())
        changes = batch.changes()
        await store.write_changes(connection, changes, letters_sent=not self._is_live)
        if self._is_live and _lets_tasks_run(changes):
            await connection.execute(_SQL["wake_workers"])
        return changes

    async def _write_small(self, connection: AsyncConnection, records: Sequence[Record], end: int) -> bool:
        """Write the batch in one statement, if it is one that can be; whether it was."""
        wanted = task_ids(records)
        known = self._cached(wanted)
        history, changes = fold(records, known)
        # Of a task that the batch makes it is not asked whether it is there: then it cannot be inserted, and nothing is
        # written. Tasks that come are as many as those that end, and the question would be half of their round trips.
        made = set() if self._is_doubted else {task.task_id for task in changes.created}
        if asked := wanted - known.keys() - made:
            # Read before the fence: if that holds, nobody has written this partition's tasks since the position.
            history, changes = fold(records, known | await store.load_tasks(connection, asked))
        if changes.dead_letters or changes.causes:
            return False
        place = small_batch.Place(self.generation, self.partition, self.next_offset, end)
        written = await small_batch.write(connection, place, history, changes, wakes=_lets_tasks_run(changes))
        self._check(is_active=written.is_active, is_at=written.is_at)
        self._remember(changes)
        self._is_doubted = False
        return True

    async def _enter(self, connection: AsyncConnection, end: int) -> None:
        payload = small_batch.Place(self.generation, self.partition, self.next_offset, end).payload
        cursor = await connection.execute(_SQL["enter"], {"schema": schema_of(self.generation), "payload": payload})
        row = await cursor.fetchone()
        is_active = row is not None and row[0] == self.generation
        is_at = is_active and await store.advance(connection, self.partition, self.next_offset, end)
        self._check(is_active=is_active, is_at=is_at)

    def _check(self, *, is_active: bool, is_at: bool) -> None:
        if not is_active:
            raise GenerationChanged(f"generation {self.generation} is not the active one any more")
        if not is_at:
            raise FenceLost(f"partition {self.partition}: the position is not {self.next_offset} any more")

    async def _upcoming(
        self, connection: AsyncConnection, before: BatchFold, records: Sequence[Record]
    ) -> BatchFold | None:
        """The fold of the batch after one that is not written yet, if it is worth it."""
        if small_batch.is_small(records):
            return None
        # Read in the transaction of the batch before: its fence holds, so nobody else writes this partition's tasks.
        wanted = task_ids(records)
        known = {task_id: task for task_id, task in before.known.items() if task_id in wanted}
        known |= await self._known(connection, wanted - before.task_ids)
        return BatchFold(records, wanted, known, after=before)

    async def _known(self, connection: AsyncConnection, wanted: Set[UUID]) -> dict[UUID, Task]:
        cached = self._cached(wanted)
        missing = wanted - cached.keys()
        return cached | await store.load_tasks(connection, missing) if missing else cached

    def _cached(self, wanted: Set[UUID]) -> dict[UUID, Task]:
        return {task_id: self._tasks[task_id] for task_id in wanted if task_id in self._tasks}

    def _forget(self) -> None:
        """Know nothing any more of what is in Postgres beside the position."""
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
        """Offset → reason of what Postgres refuses to store. Tried in a transaction that is undone."""
        connection = await self._connect()
        async with connection.transaction(force_rollback=True):
            await self._enter(connection, records[-1].offset + 1)
            poison = await _find_poison(connection, records)
        if not poison:
            raise cause
        _log.warning("records cannot be stored", extra={"partition": self.partition, "offsets": sorted(poison)})
        return poison

    async def _connect(self) -> AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._forget()
            self._connection = await connect(self._conninfo, f"pulp-processor/{self.partition}")
        return self._connection


def rest_of(records: Sequence[Record], partition: int, next_offset: int) -> Sequence[Record]:
    """What of the batch was not written before the position. Raises `GapInBatch` unless it continues there."""
    rest = records
    if records and records[0].offset < next_offset:
        rest = [record for record in records if record.offset >= next_offset]
    _check_first(rest, partition, next_offset)
    _check_whole(rest, partition)
    return rest


def _lets_tasks_run(changes: Changes) -> bool:
    """Whether a waiting task may be able to run now: it is new, or one before it has left the queue without starting.

    Where a task that was started has ended its worker says so, when it lets go.
    """
    return bool(changes.created) or any(task.attempt_id is None for task in changes.updated)


def _check_first(rest: Sequence[Record], partition: int, next_offset: int) -> None:
    if rest and rest[0].offset != next_offset:
        raise GapInBatch(f"partition {partition}: a batch starts at offset {rest[0].offset}, {next_offset} comes next")


def _check_whole(rest: Sequence[Record], partition: int) -> None:
    # The topic is neither compacted nor written in transactions: every offset holds a record.
    if rest and rest[-1].offset - rest[0].offset != len(rest) - 1:
        raise GapInBatch(
            f"partition {partition}: records are missing between offsets {rest[0].offset} and {rest[-1].offset}"
        )


async def _find_poison(connection: AsyncConnection, records: Sequence[Record]) -> dict[int, str]:
    """Offset → reason of each record that Postgres refuses, found by halving. In the caller's transaction."""
    try:
        async with connection.transaction():
            await store.write(connection, records, Fold(await store.load_tasks(connection, task_ids(records))))
    except _REFUSED as error:
        if len(records) == 1:
            return {records[0].offset: f"Postgres cannot store it: {error.diag.message_primary}"}
        middle = len(records) // 2
        first = await _find_poison(connection, records[:middle])
        return {**first, **await _find_poison(connection, records[middle:])}
    return {}
