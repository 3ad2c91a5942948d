"""Finding the origins of tasks further back in the log, for doors that can read only the log."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from pulp_events import admin
from pulp_events.codec import TYPES, decode, key_of
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Accepted, Event
from pulp_events.filters import Origin, Origins
from pulp_events.kafka import Kafka
from pulp_events.reader import Reader, Record
from pulp_events.task import Position

_FIRST_BLOCK: Final = 5_000
_GROWTH: Final = 4
"""How many times as long each block is as the one before it; most tasks are found in the first."""
_MARK: Final = TYPES[Accepted].rpartition(".")[0].encode()
"""The types of every version of `accepted`."""


class LookBack:
    """Reads backwards in the log until it has found the `accepted` events of tasks, and keeps only those in memory.

    All events of a task are in one partition, so only that one is read, from the event back.
    """

    def __init__(self, kafka: Kafka, topic: str, partitions: int, memory: Origins) -> None:
        """Other `accepted` events on the way are offered to the memory: tasks of that time are likely to be needed."""
        self._kafka, self._topic, self._partitions, self._memory = kafka, topic, partitions, memory

    def find(self, wanted: Mapping[UUID, Position]) -> dict[UUID, Origin]:
        """The origins of tasks, each accepted before an event at this position. Raises `LogError`."""
        found: dict[UUID, Origin] = {}
        by_partition: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
        for task_id, position in wanted.items():
            by_partition[position.partition][key_of(task_id)] = position.offset
        first = admin.begin_offsets(self._kafka, self._topic, self._partitions) if by_partition else {}
        for partition, tasks in by_partition.items():
            found |= self._back(partition, tasks, first[partition])
        return found

    def _back(self, partition: int, tasks: Mapping[bytes, int], first: int) -> dict[UUID, Origin]:
        found: dict[UUID, Origin] = {}
        end, size = max(tasks.values()), _FIRST_BLOCK
        while end > first and len(found) < len(tasks):
            start = max(first, end - size)
            block: dict[UUID, Origin] = {}
            with Reader(self._kafka, self._topic, {partition: start}) as reader:
                for _, records in reader.until({partition: end}):
                    _note_accepted(records, tasks, block)
            # An earlier block replaces what a later one had, because a task's first `accepted` counts.
            found |= {task_id: origin for task_id, origin in block.items() if key_of(task_id) in tasks}
            self._memory.offer({task_id: origin for task_id, origin in block.items() if task_id not in found})
            end, size = start, size * _GROWTH
        return found


def _note_accepted(records: list[Record], tasks: Mapping[bytes, int], block: dict[UUID, Origin]) -> None:
    for record in records:
        if record.value is None or _MARK not in record.value:
            continue
        try:
            event = decode(record.key, record.value)
        except UndecodableRecord:
            continue
        origin = Origin.of(event) if isinstance(event, Event) else None
        if origin is not None and record.offset < tasks.get(record.key or b"", record.offset + 1):
            block.setdefault(event.task_id, origin)
