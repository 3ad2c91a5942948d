"""The rules of dispatch, computed from scratch from plain lists of all waiting tasks and all holds."""

from dataclasses import dataclass, field
from uuid import UUID

from pulp_processor.dispatching.dispatch import LONGEST_CHAIN, Hold
from pulp_processor.dispatching.fleet import Profile
from pulp_processor.dispatching.waiting import Offer, WaitingTask


def conflicts(one: WaitingTask | Hold, other: WaitingTask | Hold) -> bool:
    """Whether one exclusively uses a resource that the other uses at all."""
    return bool(one.exclusive & (other.exclusive | other.shared) or other.exclusive & (one.exclusive | one.shared))


@dataclass
class Model:
    """All that waits and all that is held, in plain lists."""

    waiting: dict[UUID, WaitingTask] = field(default_factory=dict)
    holds: dict[UUID, Hold] = field(default_factory=dict)
    passed_over: set[UUID] = field(default_factory=set)
    backing_off: set[UUID] = field(default_factory=set)
    unmet: dict[UUID, set[UUID]] = field(default_factory=dict)
    workers: dict[str, tuple[Profile, int]] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)

    def in_line(self) -> list[WaitingTask]:
        """Those that count, in order of acceptance."""
        counting = [task for task in self.waiting.values() if self.counts(task)]
        return sorted(counting, key=lambda task: task.order)

    def counts(self, task: WaitingTask) -> bool:
        """Whether it may begin, or hold back others."""
        return task.task_id not in self.passed_over | self.backing_off

    def may_begin(self, task: WaitingTask) -> bool:
        """Whether only a slot is missing."""
        before: list[WaitingTask | Hold] = [other for other in self.in_line() if other.order < task.order]
        return (
            self.counts(task)
            and not self.unmet[task.task_id]
            and not any(conflicts(task, other) for other in [*before, *self.holds.values()])
        )

    def taken(self, worker: str) -> int:
        return sum(hold.instance == worker for hold in self.holds.values())

    def has_room(self, user: str) -> bool:
        return user not in self.limits or sum(hold.user == user for hold in self.holds.values()) < self.limits[user]

    def free(self, offer: Offer) -> dict[str, float]:
        """The workers that could take such a task now, with the share of their slots that is in use."""
        return {
            name: self.taken(name) / slots
            for name, (profile, slots) in self.workers.items()
            if offer.queue in profile.queues and offer.operation in profile.operations and self.taken(name) < slots
        }

    def best(self) -> WaitingTask | None:
        """The next assignment."""
        able = [
            task
            for task in self.in_line()
            if self.may_begin(task) and self.free(task.offer) and self.has_room(task.created_by)
        ]
        return min(able, key=lambda task: (-task.priority, task.order), default=None)

    def followers(self, head: WaitingTask, worker: str) -> list[WaitingTask]:
        """Those on the same resources that may run in the same slot after it."""
        profile, _ = self.workers[worker]
        found: list[WaitingTask] = []
        for task in self.in_line():
            if not head.exclusive or task.order <= head.order or not conflicts(task, head):
                continue
            if (
                (task.exclusive, task.shared) != (head.exclusive, head.shared)
                or len(found) + 1 == LONGEST_CHAIN
                or task.priority < head.priority
                or task.order.partition != head.order.partition
                or self.unmet[task.task_id]
                or task.offer.queue not in profile.queues
                or task.offer.operation not in profile.operations
                or (task.created_by != head.created_by and task.created_by in self.limits)
            ):
                return found
            found.append(task)
        return found

    def others_like(self, head: WaitingTask) -> list[WaitingTask]:
        """Those without resources that may run in the same slot after one: the next ones that could begin as well."""
        found: list[WaitingTask] = []
        if head.exclusive or head.shared or head.created_by in self.limits:
            return found
        others = [task for task in self.in_line() if task.offer == head.offer and task.created_by not in self.limits]
        for task in sorted(filter(self.may_begin, others), key=lambda task: (-task.priority, task.order)):
            if (-task.priority, task.order) > (-head.priority, head.order):
                if task.exclusive or task.shared or task.priority != head.priority or len(found) + 1 == LONGEST_CHAIN:
                    return found
                found.append(task)
        return found
