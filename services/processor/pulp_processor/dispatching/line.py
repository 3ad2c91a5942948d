"""The tasks that wait for one resource, in order of acceptance, and its holders."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final
from uuid import UUID

from pulp_processor.dispatching.waiting import Order, WaitingTask


def _order(task: WaitingTask) -> Order:
    return task.order


class ResourceLine:
    """One resource. The first tasks in line are admitted as long as they are compatible with each other and with the
    holders.

    A task counts in its own `closed` every line that has not admitted it. `on_admitted` is called with a task when a
    line has, and `on_shut_out` when a task of an earlier order has come in between.
    """

    __slots__ = ("_admitted", "_exclusive_holders", "_holders", "_name", "_on_admitted", "_on_shut_out", "_waiting")

    def __init__(
        self, name: str, on_admitted: Callable[[WaitingTask], None], on_shut_out: Callable[[WaitingTask], None]
    ) -> None:
        self._name: Final = name
        self._on_admitted = on_admitted
        self._on_shut_out = on_shut_out
        self._waiting: list[WaitingTask] = []
        self._admitted = 0
        self._holders: dict[UUID, bool] = {}
        self._exclusive_holders = 0

    @property
    def waiting(self) -> list[WaitingTask]:
        """Those that wait, in order of acceptance; not to be changed."""
        return self._waiting

    @property
    def holders(self) -> dict[UUID, bool]:
        """Hold → whether it is exclusive. Do not change it."""
        return self._holders

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits for the resource or holds it."""
        return not self._waiting and not self._holders

    def join(self, task: WaitingTask) -> None:
        """The task waits for the resource from now on."""
        place = bisect_left(self._waiting, task.order, key=_order)
        self._waiting.insert(place, task)
        if place < self._admitted and not self._wants_all(task) and not self._wants_all(self._waiting[place + 1]):
            self._admitted += 1
            return
        task.closed += 1
        self._shut_out(place, itself=task)
        self._settle()

    def leave(self, task: WaitingTask) -> None:
        """The task does not wait for the resource any more."""
        place = bisect_left(self._waiting, task.order, key=_order)
        del self._waiting[place]
        if place < self._admitted:
            self._admitted -= 1
        else:
            task.closed -= 1
        self._settle()

    def hold(self, hold_id: UUID, *, is_exclusive: bool) -> None:
        """Somebody holds the resource from now on."""
        self._holders[hold_id] = is_exclusive
        self._exclusive_holders += is_exclusive
        self._shut_out(0 if is_exclusive or self._first_wants_all() else self._admitted)

    def release(self, hold_id: UUID) -> None:
        """That one does not hold it any more."""
        self._exclusive_holders -= self._holders.pop(hold_id)
        self._settle()

    def _wants_all(self, task: WaitingTask) -> bool:
        return self._name in task.exclusive

    def _first_wants_all(self) -> bool:
        return bool(self._waiting) and self._wants_all(self._waiting[0])

    def _shut_out(self, first: int, itself: WaitingTask | None = None) -> None:
        """Admit none from a place on; `itself` was not admitted before."""
        if first >= self._admitted:
            return
        last = self._admitted + (itself is not None)
        self._admitted = first
        for task in self._waiting[first:last]:
            if task is not itself:
                task.closed += 1
                self._on_shut_out(task)

    def _settle(self) -> None:
        """Admit the tasks that may have the resource now."""
        if self._exclusive_holders or not self._waiting:
            return
        if self._first_wants_all():
            if not self._admitted and not self._holders:
                self._admit()
            return
        while self._admitted < len(self._waiting) and not self._wants_all(self._waiting[self._admitted]):
            self._admit()

    def _admit(self) -> None:
        task = self._waiting[self._admitted]
        self._admitted += 1
        task.closed -= 1
        self._on_admitted(task)
