"""Log, projection, reactor and workers of one test, in one event loop; Kafka and Postgres are real."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
from msgspec import Raw
from psycopg.rows import dict_row
from pulp_events.events import Resource
from pulp_events.log import KafkaLog, Log
from pulp_events.reader import Reader
from pulp_events.task import FINAL, Position
from pulp_events.topics import Topics
from pulp_processor.dispatching.dispatcher import Dispatcher
from pulp_processor.reacting.reactor import Reactor
from pulp_projections.reading.positions import Positions
from pulp_projections.writing.projector import Projector
from pulp_runtime.installation import UNSERVED_S
from pulp_worker.loading import load_operations
from pulp_worker.purging import built_in
from pulp_worker.settings import Settings
from pulp_worker.worker import Worker

from tests.support.events import accepted, cancel_requested

LIMIT_S = 60
OPERATIONS = "tests.support.worker_operations"


@dataclass
class RunningWorker:
    """A worker and its stop."""

    worker: Worker
    stopping: asyncio.Event
    hastening: asyncio.Event
    task: "asyncio.Task[None]"

    async def stop(self) -> None:
        """Stop it as SIGTERM does; returns when it has drained."""
        self.stopping.set()
        async with asyncio.timeout(LIMIT_S):
            await self.task


class Pipeline:
    """Log, projection and workers of a test. Every wait is bounded."""

    def __init__(
        self, kafka: str, database: str, topics: Topics, storage: Path, partitions: int, margin_s: float
    ) -> None:
        self.kafka, self.database, self.topics, self.storage = kafka, database, topics, storage
        self.log = KafkaLog(kafka, topics.events, partitions)
        self.positions = Positions(database)
        self._reader = Reader(kafka, topics.events, dict.fromkeys(range(partitions), 0))
        self._projectors = [Projector(database, partition) for partition in range(partitions)]
        self.reactor = Reactor(
            self.log, database, lambda: set(range(partitions)), cancel_grace_s=60, lease_margin_s=margin_s
        )

    async def submit(
        self,
        operation: str,
        *resources: Resource,
        partition: int = 0,
        arguments: dict[str, Any] | None = None,
        **data: Any,
    ) -> UUID:
        """Append `accepted`; the task's id."""
        task_id = uuid4()
        raw = Raw(msgspec.json.encode(arguments or {}))
        event = accepted(task_id, operation=operation, resources=resources, arguments=raw, **data)
        await self.log.append(event, partition)
        return task_id

    async def cancel(self, task_id: UUID, partition: int = 0) -> Position:
        """Append `cancel-requested`."""
        return await self.log.append(cancel_requested(task_id), partition)

    async def task(self, task_id: UUID) -> dict[str, Any] | None:
        """The task's row."""
        async with await psycopg.AsyncConnection.connect(self.database, row_factory=dict_row) as connection:
            cursor = await connection.execute("select * from tasks where task_id = %s", [task_id])
            return await cursor.fetchone()

    async def until(self, task_id: UUID, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for the task's row to match; checked whenever the projection moves."""
        seen = 0
        async with asyncio.timeout(LIMIT_S):
            while True:
                row = await self.task(task_id)
                if row is not None and is_so(row):
                    return row
                seen = await self.positions.changed(seen, 1.0)

    async def end(self, task_id: UUID) -> dict[str, Any]:
        """The task's row when it is final."""
        return await self.until(task_id, lambda row: row["state"] in FINAL)

    async def running(self, task_id: UUID) -> dict[str, Any]:
        """The task's row when it runs and its operation has reported something."""
        row = await self.until(task_id, lambda row: row["state"] in FINAL or row["sequence"] > 0)
        assert row["state"] == "running", f"it has ended already: {row['state']}, {row['error']}"
        return row

    async def history(self, task_id: UUID) -> list[tuple[str, str]]:
        """(last part of the type, effect) of the task's events in log order."""
        async with await psycopg.AsyncConnection.connect(self.database) as connection:
            cursor = await connection.execute(
                "select split_part(type, '.', 4), effect from task_events where task_id = %s order by record_offset",
                [task_id],
            )
            return await cursor.fetchall()

    async def query(self, statement: str) -> list[Any]:
        """Rows, or []."""
        async with await psycopg.AsyncConnection.connect(self.database, autocommit=True) as connection:
            cursor = await connection.execute(statement)
            return await cursor.fetchall() if cursor.description else []

    async def nothing_is_held(self) -> None:
        """Returns when no claim is left."""
        async with asyncio.timeout(LIMIT_S):
            while await self.query("select task_id from claims"):  # noqa: ASYNC110  # nothing announces changed rows
                await asyncio.sleep(0.02)

    async def until_draining(self) -> None:
        """Returns when a worker says that it drains."""
        async with asyncio.timeout(LIMIT_S):
            while not await self.query("select 1 from workers where draining"):  # noqa: ASYNC110  # rows
                await asyncio.sleep(0.02)

    async def until_released(self, task_id: UUID) -> None:
        """Returns when a worker has released the task's claim, and nobody has it."""
        released = f"select 1 from claims where task_id = '{task_id}' and released_at is not null"
        async with asyncio.timeout(LIMIT_S):
            while not await self.query(released):  # noqa: ASYNC110  # nothing announces changed rows
                await asyncio.sleep(0.02)

    def settings(self, name: str = "w1", **changed: Any) -> Settings:
        """A worker's settings with short times."""
        values: dict[str, Any] = {"lease_s": 3, "grace_s": 1, "drain_s": 20, "startup_timeout_s": 20, **changed}
        return Settings(
            kafka=self.kafka,
            postgres=self.database,
            topics=self.topics,
            storage=self.storage,
            name=name,
            modules=(OPERATIONS,),
            **values,
        )

    @asynccontextmanager
    async def worker(self, name: str = "w1", *, log: Log | None = None, **changed: Any) -> AsyncIterator[RunningWorker]:
        """A worker that is drained at the end."""
        settings = self.settings(name, **changed)
        used = log or self.log
        worker = Worker(settings, load_operations(settings.modules) | built_in(settings, used), log=used)
        await worker.start()
        stopping, hastening = asyncio.Event(), asyncio.Event()
        running = RunningWorker(worker, stopping, hastening, asyncio.create_task(worker.run(stopping, hastening)))
        try:
            yield running
        finally:
            hastening.set()
            await running.stop()

    async def project(self) -> None:
        """Write what arrives in the log, for ever."""
        try:
            for projector in self._projectors:
                await projector.locate()
            while True:
                for partition, records in (await asyncio.to_thread(self._reader.poll, 0.05)).items():
                    await self._projectors[partition].project(records)
                    self.reactor.wake()
        finally:
            self._reader.close()
            for projector in self._projectors:
                await projector.close()


@asynccontextmanager
async def pipeline(
    kafka: str, database: str, topics: Topics, storage: Path, *, partitions: int, margin_s: float = 2
) -> AsyncIterator[Pipeline]:
    """A pipeline that runs."""
    made = Pipeline(kafka, database, topics, storage, partitions, margin_s)
    await made.log.start()
    await made.positions.start()
    dispatcher = Dispatcher(made.log, database, quotas={}, unserved_s=UNSERVED_S)
    loops = [asyncio.create_task(loop) for loop in (made.project(), made.reactor.run(), dispatcher.run())]
    try:
        yield made
    finally:
        for loop in loops:
            loop.cancel()
        for loop in loops:
            with contextlib.suppress(asyncio.CancelledError):
                await loop
        await made.positions.close()
        await made.log.close()
