"""An independent fold of the log: reads the topic from offset 0, up to given positions."""

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.faults.folding import Entry, Folding, Raw
from tests.faults.rules import Row

_READ_S: Final = 60.0


class LogUnreadable(AssertionError):
    """The log lacks what the read model claims to have read."""


class Reference(Folding):
    """Tasks, history and dead letters of every partition, as of `positions` (the next offset of each)."""

    def __init__(self, kafka: str, topic: str, partitions: int) -> None:
        super().__init__(partitions)
        self.topic = topic
        self.positions = dict.fromkeys(range(partitions), 0)
        self._ahead: dict[int, list[Raw]] = {partition: [] for partition in range(partitions)}
        self._seen: dict[int, list[Raw]] = {partition: [] for partition in range(partitions)}
        self._consumer = Consumer(
            {
                **{"bootstrap.servers": kafka, "group.id": "pulp-tasks-checker", "enable.auto.commit": False},
                **{"auto.offset.reset": "error", "log_level": 0, "reconnect.backoff.max.ms": 1000},
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in self.positions])

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def __enter__(self) -> "Reference":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def advance(self, positions: Mapping[int, int], limit_s: float = _READ_S) -> None:
        """Move to exactly these positions: forward by reading on, back by folding the earlier records again."""
        self._fetch(positions, limit_s)
        for partition, end in positions.items():
            if end < self.positions[partition]:
                self._ahead[partition] = self._seen[partition] + self._ahead[partition]
                self.tasks[partition], self.history[partition], self.dead[partition] = {}, {}, {}
                self.parked[partition] = {}
                self._seen[partition], self.positions[partition] = [], 0
            count = end - self.positions[partition]
            for raw in self._ahead[partition][:count]:
                self.fold(partition, raw)
            self._seen[partition] += self._ahead[partition][:count]
            self._ahead[partition] = self._ahead[partition][count:]
            self.positions[partition] = end

    def task(self, task_id: str) -> Row | None:
        """The task's row, in any partition."""
        return next((tasks[task_id] for tasks in self.tasks.values() if task_id in tasks), None)

    def all_tasks(self) -> dict[str, Row]:
        """Task id → row."""
        return {task_id: row for tasks in self.tasks.values() for task_id, row in tasks.items()}

    def entries(self) -> list[tuple[int, Entry]]:
        """(partition, entry) of the whole history, each partition in order."""
        return [(partition, entry) for partition, found in self.history.items() for entry in found.values()]

    def _fetch(self, positions: Mapping[int, int], limit_s: float) -> None:
        ends = time.monotonic() + limit_s
        while missing := {
            partition: end
            for partition, end in positions.items()
            if end > self.positions[partition] + len(self._ahead[partition])
        }:
            for message in self._consumer.consume(5000, 0.2):
                if message.error() is not None:
                    continue  # an unreachable broker; only missing records count
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                expected = self.positions[partition] + len(self._ahead[partition])
                if offset != expected:
                    raise LogUnreadable(f"{self.topic}/{partition}: offset {offset} comes where {expected} should")
                raw = Raw(offset, message.timestamp()[1], message.key(), message.value())
                self._ahead[partition].append(raw)
            if time.monotonic() > ends:
                raise LogUnreadable(f"{self.topic}: no records up to {missing} within {limit_s:g} s")
