"""A task that waits, as the dispatcher knows it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class Order(NamedTuple):
    """The order of acceptance, which all processes see alike."""

    accepted_at: datetime
    partition: int
    offset: int


class Offer(NamedTuple):
    """What a worker must serve to run a task."""

    queue: str
    operation: str


@dataclass(slots=True, eq=False)
class WaitingTask:
    """A task that waits. The sets of resources are disjoint."""

    task_id: UUID
    order: Order
    offer: Offer
    priority: int = 0
    exclusive: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    created_by: str = ""
    unmet: set[UUID] = field(default_factory=set)
    """Tasks on which it depends and which have not succeeded yet."""
    may_be_traced: bool = True
    """False if its acceptance is known to be part of no trace."""
    closed: int = field(default=0, init=False)
    """How many of its resources it could not have now."""
    queued: int = field(default=0, init=False)
    """Which of its entries among the runnable tasks counts; 0 if none does. All others are stale."""

    @property
    def is_runnable(self) -> bool:
        """Whether only a free slot is missing."""
        return not self.closed and not self.unmet
