"""The fold of the log, done again: reads the topic from offset 0 and goes exactly as far as it is told."""

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.faults.reading import UNKNOWN, Heard, NoEvent, read
from tests.faults.rules import APPLIED, Row, judge

_READ_S: Final = 60.0


class Raw(NamedTuple):
    """A record as Kafka gave it."""

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None


class Entry(NamedTuple):
    """An event in the history, and what it did."""

    raw: Raw
    event: Heard
    effect: str


class LogUnreadable(AssertionError):
    """The log does not hold what the read model claims to have read."""


class Reference:
    """Tasks, history and dead letters of every partition, as of `positions` (the next offset of each)."""

    def __init__(self, kafka: str, topic: str, partitions: int) -> None:
        self.topic = topic
        self.positions = dict.fromkeys(range(partitions), 0)
        self.tasks: dict[int, dict[str, Row]] = {partition: {} for partition in range(partitions)}
        self.history: dict[int, dict[int, Entry]] = {partition: {} for partition in range(partitions)}
        self.dead: dict[int, dict[int, Raw]] = {partition: {} for partition in range(partitions)}
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
        """Let go of the connections."""
        self._consumer.close()

    def __enter__(self) -> "Reference":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def advance(self, positions: Mapping[int, int], limit_s: float = _READ_S) -> None:
        """Be exactly at these positions: forward by reading on, back by folding anew what was read before."""
        self._fetch(positions, limit_s)
        for partition, end in positions.items():
            if end < self.positions[partition]:
                self._ahead[partition] = self._seen[partition] + self._ahead[partition]
                self.tasks[partition], self.history[partition], self.dead[partition] = {}, {}, {}
                self._seen[partition], self.positions[partition] = [], 0
            count = end - self.positions[partition]
            for raw in self._ahead[partition][:count]:
                self._fold(partition, raw)
            self._seen[partition] += self._ahead[partition][:count]
            self._ahead[partition] = self._ahead[partition][count:]
            self.positions[partition] = end

    def task(self, task_id: str) -> Row | None:
        """The task's row, in whatever partition it is."""
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
                    continue  # a broker that is away; what matters is whether the records come
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

    def _fold(self, partition: int, raw: Raw) -> None:
        try:
            event = read(raw.key, raw.value)
        except NoEvent:
            self.dead[partition][raw.offset] = raw
            return
        self.history[partition][raw.offset] = Entry(raw, event, self._effect(partition, raw, event))

    def _effect(self, partition: int, raw: Raw, event: Heard) -> str:
        if event.kind == UNKNOWN:
            return UNKNOWN
        tasks = self.tasks[partition]
        row = tasks.get(event.task_id)
        if row is None and event.kind == "accepted":
            tasks[event.task_id] = _new_row(partition, raw, event)
            return APPLIED
        change = judge(row, event.kind, event.data)
        if isinstance(change, str):
            return change
        assert row is not None
        row.update({name: raw.time_ms if value is ... else value for name, value in change.items()})
        row.update(updated_at=raw.time_ms, last_offset=raw.offset, version=row["version"] + 1)
        return APPLIED


def _new_row(partition: int, raw: Raw, event: Heard) -> Row:
    data = event.data
    resources = [{**item, "access": item.get("access", "exclusive")} for item in data.get("resources", ())]
    keys: dict[str, list[str]] = {"exclusive": [], "shared": []}
    for item in resources:
        keys[item["access"]].append(f"{item['type']}:{item['id']}")
    carried: dict[str, Any] = {
        name: data.get(name, usual)
        for name, usual in (
            *(("operation", None), ("arguments", {}), ("tags", []), ("queue", "default"), ("priority", 0)),
            *(("group_id", None), ("parent_id", None), ("depends_on", []), ("timeout_seconds", None)),
        )
    }
    return {
        **carried,
        **{"task_id": event.task_id, "state": "waiting", "resources": resources},
        **{"exclusive_resources": keys["exclusive"], "shared_resources": keys["shared"]},
        **{"created_by": event.actor, "correlation_id": event.correlation_id},
        **{"accepted_at": raw.time_ms, "updated_at": raw.time_ms, "started_at": None, "cancel_requested_at": None},
        **{"finished_at": None, "partition": partition, "accepted_offset": raw.offset, "last_offset": raw.offset},
        **{"version": 1, "attempt": 0, "attempt_id": None, "worker": None, "cancellable": False, "sequence": 0},
        **{"progress": {}, "result": None, "error": None},
    }
