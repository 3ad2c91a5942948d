"""Which tasks back off between two attempts, and until when."""

from collections.abc import Callable
from heapq import heappop, heappush
from uuid import UUID


class BackingOff:
    """An alarm clock for tasks: it costs nothing until the first of them is due."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._until_s: dict[UUID, float] = {}
        self._first: list[tuple[float, UUID]] = []
        """It may have stale entries, of tasks that were added again or forgotten; they do not count."""

    def put(self, task_id: UUID, seconds: float) -> None:
        """The task backs off for this long from now on."""
        until_s = self._until_s[task_id] = self._clock_s() + seconds
        heappush(self._first, (until_s, task_id))

    def forget(self, task_id: UUID) -> None:
        """The task does not back off any more."""
        self._until_s.pop(task_id, None)

    def due(self) -> list[UUID]:
        """Those whose next attempt may begin since the last call."""
        found = []
        while (first := self._next()) is not None and first[0] <= self._clock_s():
            heappop(self._first)
            del self._until_s[first[1]]
            found.append(first[1])
        return found

    def left_s(self) -> float | None:
        """In how many seconds the first of them is due; None if there are none."""
        first = self._next()
        return None if first is None else max(0.0, first[0] - self._clock_s())

    def _next(self) -> tuple[float, UUID] | None:
        while self._first and self._until_s.get(self._first[0][1]) != self._first[0][0]:
            heappop(self._first)
        return self._first[0] if self._first else None
