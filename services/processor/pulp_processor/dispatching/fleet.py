"""The workers that are alive, what they serve, and which of their slots are free."""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, nsmallest
from typing import Final, NamedTuple

from pulp_processor.dispatching.waiting import Offer

KEPT_AWAKE: Final = 32
"""How many workers of a profile with a free slot listen. The others rest, because each notification of Postgres costs
time for every connection that listens. A resting worker hears of a task only with its next heartbeat."""
_AHEAD: Final = 4
"""As soon as no more than this fraction of them are free, as many again are woken, so that tasks that come meanwhile
find a slot."""
_SPARE_LOOKS: Final = 6
"""A worker rests only if more workers than `KEPT_AWAKE` were free at each of this many looks."""
_STALE: Final = 4
_FEW: Final = 64
"""Stale entries are dropped once there are more than this, and more than `_STALE` times as many as workers."""


class Profile(NamedTuple):
    """The queues and operations of a worker: most workers of an installation have the same."""

    queues: frozenset[str]
    operations: frozenset[str]

    def serves(self, offer: Offer) -> bool:
        """Whether a worker of this profile can run such a task."""
        return offer.queue in self.queues and offer.operation in self.operations


@dataclass(slots=True, eq=False)
class LiveWorker:
    """One live process."""

    instance: str
    profile: Profile
    slots: int
    taken: int = 0
    """Slots in use. More than `slots` if a worker came back with fewer of them."""
    rests: bool = False
    """It takes nothing, but can be woken."""
    is_free: bool = field(default=False, repr=False)
    """It takes something."""
    since: int = 0
    """When its slots last changed, as a count of such changes in the fleet."""
    version: int = field(default=0, repr=False)
    """Which of its entries among the free workers counts; older ones are stale."""


_Entry = tuple[float, int, int, LiveWorker]
"""What sorts first comes first: the share of slots in use, how long it has waited, `LiveWorker.version` as it was."""


class Fleet:
    """The least busy worker for an offer, in a time that does not grow with the number of workers.

    If many workers have nothing to do, most of them rest. Slots are counted by the worker's instance, so that what it
    runs counts also while it is not known to be alive, and what an earlier process of the same name ran does not.
    """

    def __init__(self, kept_awake: int = KEPT_AWAKE) -> None:
        self._kept_awake = kept_awake
        self._workers: dict[str, LiveWorker] = {}
        self._resting: defaultdict[Profile, set[str]] = defaultdict(set)
        self._woken: defaultdict[Profile, set[str]] = defaultdict(set)
        """Workers that were woken and take nothing yet."""
        self._free_workers: Counter[Profile] = Counter()
        self._taken: defaultdict[str, int] = defaultdict(int)
        self._free: dict[Profile, list[_Entry]] = {}
        self._spare: defaultdict[Profile, deque[int]] = defaultdict(lambda: deque(maxlen=_SPARE_LOOKS))
        self._count = 0
        self._slots = 0

    @property
    def slots(self) -> int:
        """The number of slots of all live workers, in use or not."""
        return self._slots

    def put(self, instance: str, profile: Profile, slots: int, *, rests: bool = False) -> None:
        """Note that a worker is alive, with this many slots. A resting worker takes nothing."""
        worker = LiveWorker(instance, profile, slots, self._taken.get(instance, 0), rests)
        self.remove(instance)
        self._workers[instance] = worker
        self._slots += slots
        self._free.setdefault(profile, [])
        if rests:
            self._resting[profile].add(instance)
        self._offer(worker)

    def remove(self, instance: str) -> None:
        """The worker takes nothing any more."""
        worker = self._workers.pop(instance, None)
        if worker is not None:
            worker.version += 1
            self._slots -= worker.slots
            self._free_workers[worker.profile] -= worker.is_free
            self._resting[worker.profile].discard(instance)
            self._woken[worker.profile].discard(instance)

    def least_busy(self, offer: Offer) -> LiveWorker | None:
        """A live worker with a free slot that can run such a task: the one with the smallest share of slots in use."""
        best: _Entry | None = None
        for profile in self._free:
            if profile.serves(offer):
                first = self._first_free(profile)
                if first is not None and (best is None or first[:2] < best[:2]):
                    best = first
        return None if best is None else best[3]

    def rest(self) -> list[str]:
        """Let workers rest that are not needed, those without a task for longest first; return them.

        Call it once at each look at the workers. Tasks go to all workers in turn, so that one which fails each task at
        once gets no more of them than others: whether a worker is needed is told by how many are free, not by when it
        had its last task.
        """
        tired: list[LiveWorker] = []
        for profile in self._free:
            looks = self._spare[profile]
            looks.append(self._free_workers[profile])
            count = min(looks) - self._kept_awake if len(looks) == _SPARE_LOOKS else 0
            if count > 0:
                idle = (w for w in self._workers.values() if w.profile == profile and not w.taken and not w.rests)
                found = nsmallest(count, idle, key=lambda worker: worker.since)
                self._spare[profile] = deque((each - len(found) for each in looks), maxlen=_SPARE_LOOKS)
                tired.extend(found)
        for worker in tired:
            self.put(worker.instance, worker.profile, worker.slots, rests=True)
        return [worker.instance for worker in tired]

    def wake(self) -> list[str]:
        """The workers to wake, each returned once: all if nobody else of their profile has a free slot, some if few
        have.
        """
        found: list[str] = []
        for profile, resting in self._resting.items():
            free = self._free_workers[profile]
            if resting and (not free or (free <= self._kept_awake // _AHEAD and self._may_wake_ahead(profile))):
                some = [resting.pop() for _ in range(min(len(resting), self._kept_awake if free else len(resting)))]
                self._woken[profile].update(some)
                found.extend(some)
        return found

    def _may_wake_ahead(self, profile: Profile) -> bool:
        """Nobody is on the way, and as many are awake as should be: those that are not free are busy, not gone."""
        awake = sum(not worker.rests for worker in self._workers.values() if worker.profile == profile)
        return not self._woken[profile] and awake >= self._kept_awake

    def take(self, instance: str) -> None:
        """One more of the worker's slots is in use."""
        self._change(instance, 1)

    def give_back(self, instance: str) -> None:
        """One of the worker's slots is free again."""
        self._change(instance, -1)

    def _change(self, instance: str, by: int) -> None:
        self._taken[instance] += by
        if not self._taken[instance]:
            del self._taken[instance]
        worker = self._workers.get(instance)
        if worker is not None:
            worker.taken += by
            self._offer(worker)

    def _first_free(self, profile: Profile) -> "_Entry | None":
        entries = self._free[profile]
        while entries and entries[0][2] != entries[0][3].version:
            heappop(entries)
        return entries[0] if entries else None

    def _offer(self, worker: LiveWorker) -> None:
        worker.version += 1
        self._count += 1
        worker.since = self._count
        is_free = worker.taken < worker.slots and not worker.rests
        self._free_workers[worker.profile] += is_free - worker.is_free
        worker.is_free = is_free
        if is_free:
            entries = self._free[worker.profile]
            if len(entries) > _STALE * len(self._workers) + _FEW:
                entries[:] = [entry for entry in entries if entry[2] == entry[3].version]
                heapify(entries)
            # Among equally busy workers, the one that has waited longest comes first.
            heappush(entries, (worker.taken / worker.slots, worker.since, worker.version, worker))
