"""The rows of the tables that workers, reactor and dispatcher share, and the times in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from pulp_events.events import Access
from pulp_events.task import Task

from tests.support.events import NOON
from tests.support.records import NOON_MS


@dataclass
class ClaimRow:
    """A row of `claims`."""

    task_id: UUID
    attempt: int
    attempt_id: UUID
    worker: str
    instance_id: UUID
    hold_id: UUID
    place: int
    tokens: Mapping[str, int]
    claimed_at_s: float
    is_released: bool = False


@dataclass
class WorkerRow:
    """A row of `workers`."""

    instance_id: UUID
    slots: int
    lease_s: float
    heartbeat_at_s: float
    is_draining: bool = False
    may_rest: bool = False
    is_listening: bool = True
    stopped_at_s: float | None = None

    @property
    def seen_at_s(self) -> float:
        """Until when it is, or was, trusted."""
        return self.heartbeat_at_s + self.lease_s if self.stopped_at_s is None else self.stopped_at_s

    def is_online(self, now_s: float) -> bool:
        """Whether its lease is live."""
        return self.stopped_at_s is None and self.seen_at_s > now_s


class HoldRow(NamedTuple):
    """A row of `holds`."""

    worker: str
    instance_id: UUID


class Reservation(NamedTuple):
    """A row of `reservations`."""

    exclusive: bool
    token: int


@dataclass
class DispatcherRow:
    """The row of `dispatcher`."""

    epoch: int = 0
    holder: str = ""
    renewed_at_s: float = float("-inf")


def uses_of(task: Task) -> tuple[frozenset[str], frozenset[str]]:
    """The resources that it uses exclusively and those that it shares, as submitted."""
    exclusive, shared = (
        frozenset(item.key for item in task.resources if item.access is access)
        for access in (Access.EXCLUSIVE, Access.SHARED)
    )
    return exclusive, shared


def at(seconds: float) -> datetime:
    """The schedule's time as a date."""
    return NOON.astimezone(UTC) + timedelta(seconds=seconds)


def seconds_of(timestamp_ms: int) -> float:
    """A broker's time on the schedule's clock."""
    return (timestamp_ms - NOON_MS) / 1000
