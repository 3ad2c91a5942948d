"""The drivers of histories: in memory, and on a real Kafka and Postgres. Each compares its rows."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from confluent_kafka import Producer
from pulp_events.events import Access
from pulp_events.kafka import client_settings
from pulp_events.reader import Reader, Record
from pulp_events.task import Task
from pulp_projections.stored_tasks import load_tasks
from pulp_projections.writing.projector import Projector

from tests.conftest import PARTITIONS as TOPIC_PARTITIONS
from tests.faults.checker import Checker
from tests.faults.folding import Folding, Raw
from tests.faults.reference import Reference
from tests.model.histories import PARTITIONS
from tests.model.memory_read_model import MemoryProjector, MemoryReadModel
from tests.support.postgres_relay import PostgresRelay
from tests.support.records import NOON_MS

_READ_S: Final = 60.0


class MemoryWorld:
    """A list as the log, a read model in memory, a clock, and between them the product's codec and fold."""

    checks_every_read = True

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.histories = 0
        self.events = 0
        self._now_ms = NOON_MS
        self.begin()

    def begin(self) -> None:
        """Start over."""
        self._log: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self._model = MemoryReadModel(dict.fromkeys(range(PARTITIONS), 0))
        self._folding = Folding(PARTITIONS)
        self._folded = dict.fromkeys(range(PARTITIONS), 0)

    async def append(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        self.events += 1
        log = self._log[partition]
        log.append(Record(partition, len(log), self._now_ms, key, value))

    async def records(self, partition: int) -> Sequence[Record]:
        return self._log[partition]

    async def task(self, task_id: UUID) -> Task | None:
        return self._model.tasks.get(task_id)

    def projector(self, partition: int) -> MemoryProjector:
        return MemoryProjector(self._model, partition)

    def lose_next_answer(self) -> None:
        self._model.loses_answer = True

    def pass_time(self, ms: int) -> None:
        self._now_ms += ms

    async def check(self) -> None:
        """Compare every row with the rules' fold of the log up to the positions."""
        for partition, end in self._model.positions.items():
            for record in self._log[partition][self._folded[partition] : end]:
                self._folding.fold(partition, Raw(record.offset, record.timestamp_ms, record.key, record.value))
            self._folded[partition] = end
            found = {
                str(task.task_id): row_of(task, self._model.causes.get(task.task_id))
                for task in self._model.tasks.values()
                if task.partition == partition
            }
            assert found == self._folding.tasks[partition]
            effects = {offset: row.effect for offset, row in self._model.history[partition].items()}
            expected = {offset: entry.effect for offset, entry in self._folding.history[partition].items()}
            assert effects == expected
            assert self._model.dead_letters[partition].keys() == self._folding.dead[partition].keys()


class RealWorld:
    """Appends to Kafka, reads from Kafka, projects into Postgres; the checker of `./dev faults` compares the two."""

    checks_every_read = False

    def __init__(self, runner: asyncio.Runner, kafka: str, topic: str, database: str) -> None:
        self.runner = runner
        self.histories = 0
        self.events = 0
        self._database = database
        self._producer = Producer(client_settings(kafka, enable_idempotence=True))
        self._appended = dict.fromkeys(range(PARTITIONS), 0)
        self._reader = Reader(kafka, topic, dict.fromkeys(range(PARTITIONS), 0))
        self._read: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}
        self._topic = topic
        self._reference = Reference(kafka, topic, TOPIC_PARTITIONS)
        self._checker = Checker(self._reference, database)
        self._projectors: list[Projector] = []
        self._relay = PostgresRelay(database)
        runner.run(self._relay.open())

    def close(self) -> None:
        """Close the connections."""
        for projector in self._projectors:
            self.runner.run(projector.close())
        self.runner.run(self._relay.cut())
        self._reference.close()
        self._reader.close()

    async def append(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        self.events += 1
        self._producer.produce(self._topic, value, key, partition)
        self._appended[partition] += 1

    async def records(self, partition: int) -> Sequence[Record]:
        ends = time.monotonic() + _READ_S
        assert self._producer.flush(_READ_S) == 0
        while len(self._read[partition]) < self._appended[partition]:
            for number, records in self._reader.poll(0.1).items():
                self._read[number] += records
            assert time.monotonic() < ends, f"partition {partition} has not been read within {_READ_S:g} s"
        return self._read[partition]

    async def task(self, task_id: UUID) -> Task | None:
        async with await psycopg.AsyncConnection.connect(self._database) as connection:
            return (await load_tasks(connection, [task_id])).get(task_id)

    def projector(self, partition: int) -> Projector:
        made = Projector(self._relay.conninfo, partition)
        self._projectors.append(made)
        return made

    def lose_next_answer(self) -> None:
        self._relay.lose_next_commit()

    def pass_time(self, ms: int) -> None:
        """Does nothing: the broker's clock is real."""

    async def check(self) -> None:
        """Compare every new row with the rules' fold of the log up to the positions."""
        checked = self._checker.check()
        assert not checked.differences, "\n".join(map(str, checked.differences[:5]))


def row_of(task: Task, rerun_of: UUID | None) -> dict[str, Any]:
    """The task as in `tests/faults`: by the read model's columns, and the task that it reruns."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(task))
    row = {re.sub("_ms$", "", name): value for name, value in fields.items()}
    row["last_offset"] = row.pop("offset")
    row["rerun_of"] = None if rerun_of is None else str(rerun_of)
    for access in Access:
        row[f"{access}_resources"] = [item.key for item in task.resources if item.access is access]
    return row
