"""The outbox of one subscription: events in order per task, retried after failures, and parked after a limit.

Pure: time and chance are arguments. The position of each partition is the lowest offset that is not settled; delivered
offsets after it are remembered, so that a restart does not send them again.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from pulp_events.task import Position

_PATIENCE_WITH_REFUSALS: Final = 5
"""How often an event is sent that the receiver refuses for its own sake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits and pauses of deliveries. Durations are in seconds."""

    attempts: int = 20
    """Failures in a row until an endpoint is given up, or a task that fails while others succeed."""
    first_pause_s: float = 1.0
    """After the first failure; it doubles with each further one."""
    longest_pause_s: float = 3600.0
    lanes: int = 8
    """Requests at a time."""
    most_pending: int = 200
    """Events that wait in memory."""
    most_ahead: int = 2000
    """Delivered events that may be ahead of one that is not."""

    def pause_s(self, failures: int, chance: float) -> float:
        """How long to wait after this many consecutive failures: at least half of the backoff, the rest by `chance` (0
        to 1)."""
        full_s = min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(failures - 1, 60))
        return full_s * (0.5 + chance / 2)


class Verdict(StrEnum):
    """The outcome of one request."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """The receiver works, but refuses this event."""
    FAILED = "failed"
    """The endpoint does not work now."""
    GONE = "gone"
    """The endpoint says that it does not want any more events."""
    WITHHELD = "withheld"
    """Not sent, because the subscription's user may not see the task."""


class Outcome(StrEnum):
    """What happens to the event."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    """It is sent again later."""
    PARKED = "parked"
    """It and all later events of its task wait for a redelivery."""
    WITHHELD = "withheld"
    """It is skipped."""
    GIVEN_UP = "given-up"
    """The endpoint is given up. The event waits, as all do, until the subscription is resumed."""


class Item(NamedTuple):
    """An event to send."""

    position: Position
    task_id: UUID


class Settled(NamedTuple):
    """The outcome of an item."""

    outcome: Outcome
    attempts: int
    next_s: float | None = None
    """The earliest time to send it again."""


@dataclass(slots=True)
class _Pending:
    item: Item
    attempts: int = 0
    due_s: float = 0.0
    began_s: float | None = None
    """When it was sent; None while it is not in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The progress of a subscription, as stored."""

    cursors: Mapping[int, int] = field(default_factory=dict)
    """Partition → the lowest offset that is not settled."""
    ahead: Mapping[int, Collection[int]] = field(default_factory=dict)
    """Delivered offsets beyond it."""
    parked: Collection[UUID] = ()
    """Tasks whose events wait for a redelivery."""
    attempts: Mapping[Position, int] = field(default_factory=dict)
    """Failed attempts at events that are not settled."""
    failures: int = 0
    """The endpoint's consecutive failures."""


class Outbox:
    """The events of one subscription between the log and its endpoint. Times are seconds of one clock."""

    def __init__(
        self, policy: Policy, place: Place, chance: Callable[[], float], *, not_before_s: float = float("-inf")
    ) -> None:
        """`not_before_s` is when the endpoint may be asked again, as it was stored."""
        self.failures = place.failures
        """The endpoint's consecutive failures."""
        self.not_before_s = not_before_s
        """When the endpoint may be asked again."""
        self._asked_until_s = float("-inf")
        """Until when the receiver has asked for a pause: unlike one for a failure, no success ends it."""
        self.next_offsets = dict(place.cursors)
        """Partition → the next offset to offer."""
        self._policy, self._chance = policy, chance
        self._ahead = {partition: set(offsets) for partition, offsets in place.ahead.items()}
        self._parked = set(place.parked)
        self._attempts = dict(place.attempts)
        self._queues: dict[UUID, deque[_Pending]] = {}
        """By task, in the order of the log."""
        self._pending: dict[Position, _Pending] = {}
        self._last_failed_s = float("-inf")

    @property
    def room(self) -> int:
        """How many more events may be offered."""
        if self._pending and self.ahead_count >= self._policy.most_ahead:
            return 0  # without anything that waits, as after a restart, what comes next is the place itself
        return max(0, self._policy.most_pending - len(self._pending))

    @property
    def ahead_count(self) -> int:
        """How many delivered events are ahead of one that is not."""
        return sum(map(len, self._ahead.values()))

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, and nothing is in flight."""
        return not self._pending

    @property
    def pending(self) -> int:
        """How many events wait or are in flight."""
        return len(self._pending)

    def offer(self, position: Position, task_id: UUID | None) -> bool:
        """Take the next event of its partition; whether it will be sent. `task_id` is None for one not wanted."""
        partition, offset = position
        assert offset >= self.next_offsets.get(partition, 0), "events are offered in order"
        self.next_offsets[partition] = offset + 1
        if task_id is None or task_id in self._parked or offset in self._ahead.get(partition, ()):
            self._trim(partition)
            return False
        pending = _Pending(Item(position, task_id), self._attempts.pop(position, 0))
        self._queues.setdefault(task_id, deque()).append(pending)
        self._pending[position] = pending
        return True

    def holds(self, position: Position) -> bool:
        """Whether the event waits or is in flight."""
        return position in self._pending

    def is_parked(self, task_id: UUID) -> bool:
        """Whether events of the task wait for a redelivery."""
        return task_id in self._parked

    def take(self, now_s: float) -> list[Item]:
        """The events to send now; they are in flight until `settle` is called.

        Only the first unsettled event of each task is among them. While the endpoint fails, there is one request at a
        time, with the event that has failed least, so that one bad event does not look like a bad endpoint.
        """
        if now_s < self.not_before_s:
            return []
        free = self._free_lanes()
        if free <= 0:
            return []
        ready = [head for head in self._heads() if head.began_s is None and head.due_s <= now_s]
        ready.sort(key=lambda head: (head.attempts, head.item.position.offset, head.item.position.partition))
        for head in ready[:free]:
            head.began_s = now_s
        return [head.item for head in ready[:free]]

    def due_s(self) -> float | None:
        """When `take` will next have something, unless an answer comes first; None if it needs an answer or a new
        event."""
        if self._free_lanes() <= 0:
            return None
        waiting = [head.due_s for head in self._heads() if head.began_s is None]
        return max(self.not_before_s, min(waiting)) if waiting else None

    def settle(self, item: Item, verdict: Verdict, now_s: float, *, asked_pause_s: float = 0.0) -> Settled:
        """Record an answer. `asked_pause_s` is the pause that the receiver asks for."""
        pending = self._pending[item.position]
        began_s = pending.began_s
        assert began_s is not None, "it was sent"
        pending.began_s = None
        if verdict is Verdict.DELIVERED:
            self.failures, self.not_before_s = 0, self._asked_until_s
            self._remove(pending)
            self._ahead.setdefault(item.position.partition, set()).add(item.position.offset)
            self._trim(item.position.partition)
            return Settled(Outcome.DELIVERED, pending.attempts + 1)
        if verdict is Verdict.WITHHELD:
            self._remove(pending)
            self._trim(item.position.partition)
            return Settled(Outcome.WITHHELD, pending.attempts)
        pending.attempts += 1
        if verdict is Verdict.GONE:
            return Settled(Outcome.GIVEN_UP, pending.attempts)
        pause_s = max(self._policy.pause_s(pending.attempts, self._chance()), asked_pause_s)
        pending.due_s = now_s + pause_s
        if verdict is Verdict.FAILED:
            self._note_failure(began_s, now_s, asked_pause_s)
            if self.failures >= self._policy.attempts:
                return Settled(Outcome.GIVEN_UP, pending.attempts)
        if self._is_hopeless(pending, verdict):
            self._park(pending)
            return Settled(Outcome.PARKED, pending.attempts)
        return Settled(Outcome.RETRIED, pending.attempts, max(pending.due_s, self.not_before_s))

    def place(self) -> Place:
        """Its progress; offered events that are not settled are read again from here."""
        cursors = dict(self.next_offsets)
        for partition, offset in self._pending:
            cursors[partition] = min(cursors[partition], offset)
        return Place(
            cursors=cursors,
            ahead={partition: sorted(found) for partition, found in self._ahead.items() if found},
            parked=frozenset(self._parked),
            attempts={position: each.attempts for position, each in self._pending.items() if each.attempts},
            failures=self.failures,
        )

    def _free_lanes(self) -> int:
        under_way = sum(head.began_s is not None for head in self._heads())
        return (1 if self.failures else self._policy.lanes) - under_way

    def _heads(self) -> Iterable[_Pending]:
        return (queue[0] for queue in self._queues.values())

    def _note_failure(self, began_s: float, now_s: float, asked_pause_s: float) -> None:
        """Requests that were under way together fail together, and count once; the longest pause that they ask for
        counts.
        """
        if asked_pause_s > 0:
            self._asked_until_s = max(self._asked_until_s, now_s + asked_pause_s)
        if began_s > self._last_failed_s:
            self.failures += 1
            self._last_failed_s = now_s
            self.not_before_s = now_s + self._policy.pause_s(self.failures, self._chance())
        self.not_before_s = max(self.not_before_s, self._asked_until_s)

    def _is_hopeless(self, pending: _Pending, verdict: Verdict) -> bool:
        most = self._policy.attempts
        if verdict is Verdict.REFUSED or self.ahead_count >= self._policy.most_ahead:
            most = min(most, _PATIENCE_WITH_REFUSALS)
        return pending.attempts >= most

    def _park(self, pending: _Pending) -> None:
        """Settle all waiting events of the task, and any that come later."""
        task_id = pending.item.task_id
        self._parked.add(task_id)
        partitions = set()
        for each in self._queues.pop(task_id):
            del self._pending[each.item.position]
            partitions.add(each.item.position.partition)
        for partition in partitions:
            self._trim(partition)

    def _remove(self, pending: _Pending) -> None:
        queue = self._queues[pending.item.task_id]
        assert queue[0] is pending, "a task's events are sent one after the other"
        queue.popleft()
        if not queue:
            del self._queues[pending.item.task_id]
        del self._pending[pending.item.position]

    def _trim(self, partition: int) -> None:
        """Forget everything before the place of the partition."""
        ahead = self._ahead.get(partition)
        if ahead:
            offsets = [offset for each, offset in self._pending if each == partition]
            place = min(offsets, default=self.next_offsets[partition])
            self._ahead[partition] = {offset for offset in ahead if offset >= place}
