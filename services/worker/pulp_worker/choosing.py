"""Which waiting tasks may run now, and which may follow them. Pure: the rows come in order of acceptance."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

LONGEST_CHAIN: Final = 16


class Waiting(NamedTuple):
    """A task that waits, and that nobody has claimed."""

    accepted_at: datetime
    partition: int
    accepted_offset: int
    task_id: UUID
    attempt: int
    """The number that its next attempt gets."""
    priority: int
    can_run: bool
    """The asking worker knows its operation and serves its queue, and its dependencies have succeeded."""
    exclusive: frozenset[str]
    shared: frozenset[str]
    """Resources; none is in both."""
    created_by: str = ""
    """Who submitted it."""


class Chain:
    """A task that may run now, and those that may follow it one by one: same resources, same partition, no gap."""

    def __init__(self, head: Waiting) -> None:
        self.tasks = [head]
        self.is_open = bool(head.exclusive)
        """Whether the next task of its resources could join it."""

    @property
    def head(self) -> Waiting:
        """The task that may run now."""
        return self.tasks[0]

    def takes(self, task: Waiting) -> bool:
        """Whether the task may follow: whoever holds the resources hands them on, and nobody is passed over."""
        head = self.head
        return (
            self.is_open
            and task.can_run
            and len(self.tasks) < LONGEST_CHAIN
            and task.partition == head.partition  # so the end of one task precedes the start of the next in the log
            and task.priority >= head.priority
            and (task.exclusive, task.shared) == (head.exclusive, head.shared)
        )


class Choice:
    """Sees the waiting tasks in order of acceptance, each once. A task that may not run blocks those after it.

    `reserved` says of each resource that is held whether it is held exclusively.
    `room` says how many more tasks may run of each user who has a limit.
    """

    def __init__(self, reserved: Mapping[str, bool], room: Mapping[str, int] | None = None) -> None:
        self._closed = {resource for resource, is_exclusive in reserved.items() if is_exclusive}
        self._used = set(reserved) - self._closed
        self._room = room or {}
        self._chains: list[Chain] = []
        self._on: defaultdict[str, list[Chain]] = defaultdict(list)
        self._blocking: Counter[str] = Counter()

    def see(self, tasks: Iterable[Waiting]) -> None:
        """Look at the next tasks."""
        for task in tasks:
            self._see(task)

    def best(self, most: int) -> list[Chain]:
        """The chains whose heads come first, by priority, then in order of acceptance; of no user more than may run."""
        found = sorted(self._chains, key=lambda chain: -chain.head.priority)
        return self._within_room(found)[:most] if self._room else found[:most]

    def _within_room(self, chains: Iterable[Chain]) -> list[Chain]:
        left = dict(self._room)
        found: list[Chain] = []
        for chain in chains:
            room = left.get(chain.head.created_by)
            if room is not None:
                if room <= 0:
                    continue
                left[chain.head.created_by] = room - 1
            found.append(chain)
        return found

    def hopeless(self, most: int) -> list[str]:
        """Resources that nobody can get any more, those first that have stopped most tasks."""
        return [resource for resource, _ in self._blocking.most_common(most)]

    def _see(self, task: Waiting) -> None:
        stopping = (task.exclusive | task.shared) & self._closed
        if stopping:
            self._blocking.update(stopping)
        if task.can_run and not stopping and not task.exclusive & self._used:
            self._begin(task)
        elif not self._follow(task):
            self._break_chains(task)
        self._closed |= task.exclusive
        self._used |= task.shared

    def _begin(self, task: Waiting) -> None:
        chain = Chain(task)
        self._chains.append(chain)
        if chain.is_open:
            for resource in task.exclusive | task.shared:
                self._on[resource].append(chain)

    def _follow(self, task: Waiting) -> bool:
        for resource in task.exclusive:
            for chain in self._on.get(resource, ()):
                if chain.takes(task):
                    chain.tasks.append(task)
                    return True
            break  # who can follow has all of its resources in common with one chain
        return False

    def _break_chains(self, task: Waiting) -> None:
        """What conflicts with this task comes after it from now on."""
        for resource in task.exclusive:
            for chain in self._on.pop(resource, ()):
                chain.is_open = False
        for resource in task.shared:
            for chain in self._on.get(resource, ()):
                if resource in chain.head.exclusive:
                    chain.is_open = False
