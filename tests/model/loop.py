"""An event loop with its own clock, on which several processes take turns, chosen by a seed. A process is what runs
in a context with its name in `PROCESS`. Callbacks of one process run in order, as on a loop of its own; between two
of them another process may run, and a process may be stopped for a while, as by SIGSTOP. Time passes only when no
process has anything to do.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Final

PROCESS: Final[ContextVar[str]] = ContextVar("process", default="world")
_LEAST_S: Final = 1e-6
"""The shortest timer: a smaller one could vanish in the clock's rounding."""
_MOST_STEPS: Final = 5
"""The most steps of one process in a row."""


class TooLong(AssertionError):
    """The schedule does not finish."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Deterministic: the same seed gives the same order of steps."""

    def __init__(self, random: Random, ends_at_s: float) -> None:
        super().__init__()
        self.steps = 0
        self._random = random
        self._ends_at_s = ends_at_s
        self._now_s = 0.0
        self._serial = 0
        self._steps_of: dict[str, deque[asyncio.Handle]] = {}
        """The ready callbacks, by process."""
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._stopped_until_s: dict[str, float] = {}
        self.set_task_factory(_Task.make)

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._now_s

    def stop_process(self, process: str, seconds: float) -> None:
        """Stop a process, as by SIGSTOP, and continue it after this long."""
        self._stopped_until_s[process] = max(self._stopped_until_s.get(process, 0), self._now_s + seconds)

    def is_stopped(self, process: str) -> bool:
        """Whether a process is stopped now."""
        return self._stopped_until_s.get(process, 0) > self._now_s

    def woke_at_s(self, process: str) -> float:
        """When a process last woke, or will wake."""
        return self._stopped_until_s.get(process, 0)

    def wake_all(self) -> None:
        """Continue every process."""
        self._stopped_until_s.clear()

    def end_at(self, seconds: float) -> None:
        """Limit the schedule's time."""
        self._ends_at_s = seconds

    def next_serial(self) -> int:
        """Numbers from 1."""
        self._serial += 1
        return self._serial

    def call_soon(  # type: ignore[override]  # no variadic types here
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop.call_soon`."""
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._add(handle, context)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is one thread

    def call_at(  # type: ignore[override]  # no variadic types here
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop.call_at`."""
        context = copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, self.next_serial(), timer))
        return timer

    def call_later(  # type: ignore[override]  # no variadic types here
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop.call_later`."""
        delay = delay if delay <= 0 else max(delay, _LEAST_S)
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def _add(self, handle: asyncio.Handle, context: Context) -> None:
        process = context.get(PROCESS, "world")
        if process in self._steps_of:
            self._steps_of[process].append(handle)
        else:
            self._steps_of[process] = deque([handle])

    def _run_once(self) -> None:
        while self._timers and self._timers[0][0] <= self._now_s:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled():
                self._add(timer, timer._context)  # type: ignore[attr-defined]
        ready = [name for name in self._steps_of if self._stopped_until_s.get(name, 0) <= self._now_s]
        if not ready:
            self._pass_time()
            return
        process = ready[int(self._random.random() * len(ready))]
        steps = self._steps_of[process]
        for _ in range(1 + int(self._random.random() * _MOST_STEPS)):
            handle = steps.popleft()
            if not handle.cancelled():
                self.steps += 1
                handle._run()
            if not steps:
                del self._steps_of[process]
                return
            if self.is_stopped(process) or self._stopping:  # type: ignore[attr-defined]
                return

    def _pass_time(self) -> None:
        moments = [self._timers[0][0]] if self._timers else []
        moments += [self._stopped_until_s[name] for name in self._steps_of]
        if not moments:
            raise TooLong("everybody waits for something that will not come")
        self._now_s = max(self._now_s, min(moments))
        if self._now_s > self._ends_at_s:
            raise TooLong(f"it has not come to an end within {self._ends_at_s:g} s of its own time")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are skipped when due."""

    def _write_to_self(self) -> None:
        """Nothing waits in real time."""


class _Task(asyncio.Task[Any]):
    """A task that hashes by serial number instead of address, so that sets iterate in the same order in every run."""

    serial: int

    @classmethod
    def make(cls, loop: Any, coroutine: Any, **options: Any) -> "_Task":
        task = cls.__new__(cls)
        task.serial = loop.next_serial()
        task.__init__(coroutine, loop=loop, **options)  # type: ignore[misc]  # asyncio itself hashes a new task
        return task

    def __hash__(self) -> int:
        return self.serial

    def __eq__(self, other: object) -> bool:
        return self is other
