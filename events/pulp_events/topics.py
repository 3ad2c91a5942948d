"""Topic names, and which partition a task's events go to."""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from pulp_events.events import Access, Resource


class Topics(NamedTuple):
    """The topics of one installation."""

    events: str
    dead_letters: str
    audit: str
    schedules: str
    subscriptions: str
    checkpoints: str
    states: str
    """What each task is now; it is compacted, and has as many partitions as that of events."""

    @classmethod
    def named(cls, prefix: str = "pulp.tasks") -> "Topics":
        """The topics of a prefix. `pulp.tasks` gives `pulp.schedules.events`, and another PREFIX `PREFIX.schedules`.

        That of subscriptions has its name likewise.
        """
        family, dot, last = prefix.rpartition(".")
        beside = f"{family}.{{}}.events" if dot and last == "tasks" else f"{prefix}.{{}}"
        return cls(
            events=f"{prefix}.events",
            dead_letters=f"{prefix}.dead-letters",
            audit=f"{prefix}.audit",
            schedules=beside.format("schedules"),
            subscriptions=beside.format("subscriptions"),
            checkpoints=f"{prefix}.checkpoints",
            states=f"{prefix}.state",
        )

    def is_compacted(self, name: str) -> bool:
        """Whether the topic keeps only the last record of each key. All others keep every record."""
        return name == self.states


def partition_of(task_id: UUID, resources: Iterable[Resource], partitions: int) -> int:
    """The partition of a new task: by its first resource, exclusive before shared, or by its id if it has none.

    So tasks on one resource are in one partition, in the order of their submission. All later events of a task go to
    the partition of its `accepted` event.
    """
    ordered = sorted(resources, key=lambda resource: resource.access is not Access.EXCLUSIVE)
    key = ordered[0].key if ordered else str(task_id)
    return crc32(key.encode()) % partitions  # never change: it decides where existing events are
