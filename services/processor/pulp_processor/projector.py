"""The projector: the records of one partition → one Postgres transaction. It knows neither Faust nor Kafka.

Exactly once: a batch's rows and its position are committed together, and the position is a fence. So a batch that is
redelivered, duplicated or raced by another processor changes nothing.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier
from pulp_events.errors import PulpError
from pulp_events.reader import Record
from pulp_events.task import FINAL, Task
from pulp_projections import store
from pulp_projections.fold import Changes, Decoded, decode_batch, fold, task_ids
from pulp_projections.generations import schema_of
from pulp_projections.sql import load

_SQL = load("pulp_processor", "projector.sql")
_log = logging.getLogger("pulp.processor")
CHANNEL: Final = "pulp_positions"
_CACHED_TASKS: Final = 20_000


class OutOfPlace(PulpError):
    """The batch does not continue the position in Postgres: nothing was written. Seek there and go on."""


class FenceLost(OutOfPlace):
    """Another processor has moved the partition's position."""


class GapInBatch(OutOfPlace):
    """The batch starts after the position: records are missing before it."""


class GenerationChanged(OutOfPlace):
    """Another generation of the read model is active now."""


class Projector:
    """Writes one partition of one generation. One batch at a time; every batch is a transaction.

    `partition`'s position must be read with `locate` before the first batch, and again after `OutOfPlace`.
    """

    def __init__(self, conninfo: str, partition: int) -> None:
        self.partition = partition
        self.generation = 0
        self.next_offset = 0
        self._conninfo = conninfo
        self._connection: AsyncConnection | None = None
        self._tasks: OrderedDict[UUID, Task] = OrderedDict()

    async def locate(self) -> int:
        """Read the active generation and this partition's position in it; the position."""
        self._tasks.clear()
        connection = await self._connect()
        cursor = await connection.execute(_SQL["locate"], {"partition": self.partition})
        row = await cursor.fetchone()
        if row is None:
            raise PulpError(f"the read model has no position of partition {self.partition}: was it installed?")
        self.generation, self.next_offset = row
        return self.next_offset

    async def project(self, records: Sequence[Record]) -> int:
        """Write the batch; the position after it. Records before the position were written before, and are left out.

        Raises `OutOfPlace` (nothing written), or `psycopg.OperationalError` if Postgres went away: then it is not
        known whether the batch was written, and `locate` tells.
        """
        batch = self._rest_of(records)
        if not batch:
            return self.next_offset
        poison: dict[int, str] = {}
        while True:
            try:
                await self._transaction(batch, decode_batch(batch, poison))
            except errors.UniqueViolation:
                # Another partition made the same task meanwhile: its row is there now, and the fold will see it.
                self._tasks.clear()
            except (errors.DataError, errors.ProgramLimitExceeded) as error:
                poison.update(await self._find_poison(batch, poison, error))
            else:
                return self.next_offset

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _rest_of(self, records: Sequence[Record]) -> list[Record]:
        rest = [record for record in records if record.offset >= self.next_offset]
        if rest and rest[0].offset != self.next_offset:
            raise GapInBatch(
                f"partition {self.partition}: a batch starts at offset {rest[0].offset}, {self.next_offset} comes next"
            )
        return rest

    async def _transaction(self, batch: Sequence[Record], decoded: Sequence[Decoded]) -> None:
        connection = await self._connect()
        end = batch[-1].offset + 1
        async with connection.transaction():
            await self._fence(connection, end)
            changes = fold(decoded, await self._known(connection, decoded))
            await store.write(connection, changes)
        self.next_offset = end
        self._remember(changes)
        await connection.execute(_SQL["notify"], {"payload": f"{self.generation} {self.partition} {end}"})

    async def _fence(self, connection: AsyncConnection, end: int) -> None:
        cursor = await connection.execute(_SQL["share_generation"])
        row = await cursor.fetchone()
        if row is None or row[0] != self.generation:
            raise GenerationChanged(f"generation {self.generation} is not the active one any more")
        await connection.execute(SQL("set local search_path to {}").format(Identifier(schema_of(self.generation))))
        await connection.execute(_SQL["relax_commit"])
        if not await store.advance(connection, self.partition, self.next_offset, end):
            raise FenceLost(f"partition {self.partition}: the position is not {self.next_offset} any more")

    async def _known(self, connection: AsyncConnection, decoded: Sequence[Decoded]) -> Mapping[UUID, Task]:
        wanted = task_ids(decoded)
        missing = [task_id for task_id in wanted if task_id not in self._tasks]
        loaded = await store.load_tasks(connection, missing) if missing else {}
        return {**{task_id: self._tasks[task_id] for task_id in wanted if task_id in self._tasks}, **loaded}

    def _remember(self, changes: Changes) -> None:
        for task in (*changes.created, *changes.updated):
            if task.state in FINAL:
                self._tasks.pop(task.task_id, None)
            else:
                self._tasks[task.task_id] = task
                self._tasks.move_to_end(task.task_id)
        while len(self._tasks) > _CACHED_TASKS:
            self._tasks.popitem(last=False)

    async def _find_poison(
        self, batch: Sequence[Record], poison: Mapping[int, str], cause: psycopg.Error
    ) -> dict[int, str]:
        """The records that Postgres refuses to store, each tried alone in a transaction that is rolled back."""
        self._tasks.clear()
        connection = await self._connect()
        found: dict[int, str] = {}
        async with connection.transaction(force_rollback=True):
            await self._fence(connection, batch[-1].offset + 1)
            for item in decode_batch(batch, poison):
                try:
                    async with connection.transaction():
                        changes = fold([item], await store.load_tasks(connection, task_ids([item])))
                        await store.write(connection, changes)
                except (errors.DataError, errors.ProgramLimitExceeded) as error:
                    found[item.record.offset] = f"Postgres cannot store it: {error.diag.message_primary}"
        if not found:
            raise cause
        _log.warning("records cannot be stored", extra={"partition": self.partition, "offsets": sorted(found)})
        return found

    async def _connect(self) -> AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._tasks.clear()
            self._connection = await AsyncConnection.connect(
                self._conninfo, autocommit=True, application_name=f"pulp-processor/{self.partition}"
            )
        return self._connection
