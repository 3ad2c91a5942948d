"""The threads that watch the worker's loop from outside: does it turn, and do its operations stop with the lease?"""

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, NamedTuple

from pulp_worker.belongings import OWNER, Belongings
from pulp_worker.lease import Lease

TICK_S: Final = 0.25
BLOCKED_S: Final = 1.0
"""A loop that does not turn for so long is told of; then again after twice the time, and so on."""
_log = logging.getLogger("pulp.worker")
_HANDLE_RUN: Final = asyncio.Handle._run.__code__


class Culprit(NamedTuple):
    """What a blocked loop is at."""

    owner: Belongings | None
    """None for code that belongs to no operation."""
    stack: str


def owner_of(trace: TracebackType | None) -> Belongings | None:
    """Whose code raised, of the operations on the loop."""
    owner = None
    while trace is not None:
        owner = owner or _owner_in(trace.tb_frame)
        trace = trace.tb_next
    return owner


def _owner_in(frame: FrameType) -> Belongings | None:
    """Each step of a task and each callback has the variables of who made it."""
    if frame.f_code is not _HANDLE_RUN:
        return None
    owner: Belongings | None = frame.f_locals["self"]._context.get(OWNER)
    return owner


class LoopWatch:
    """Tells when the loop is blocked, by whom, and where. `pulse` is called four times a second, from its thread.

    Counts its own turns, not the time: a process that was stopped as a whole did not block its loop.
    """

    def __init__(self, pulse: Callable[[], None] = lambda: None) -> None:
        self._pulse = pulse
        self._stopping = threading.Event()
        self._unanswered = 0
        self._next_s = BLOCKED_S
        self._loop_thread = 0

    def start(self) -> None:
        """Call it on the loop that is to be watched."""
        self._loop_thread = threading.get_ident()
        arguments = (asyncio.get_running_loop(),)
        threading.Thread(target=self._run, args=arguments, name="loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Nothing is watched any more."""
        self._stopping.set()

    @property
    def blocked_s(self) -> float:
        """For how long the loop has not turned, about; from any thread."""
        return max(0, self._unanswered - 1) * TICK_S

    def culprit(self) -> Culprit:
        """What the loop is at, from another thread."""
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return Culprit(None, "")
        owner = None
        stack = "".join(traceback.format_stack(frame))
        step: FrameType | None = frame
        while step is not None:
            owner = _owner_in(step) or owner
            step = step.f_back
        return Culprit(owner, stack)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.wait(TICK_S):
            self._pulse()
            self._unanswered += 1
            if self._unanswered == 1:
                try:
                    loop.call_soon_threadsafe(self._answer)
                except RuntimeError:  # the loop is closed
                    return
            elif self.blocked_s >= self._next_s:
                self._next_s *= 2
                self._tell()

    def _answer(self) -> None:
        if self._next_s > BLOCKED_S:
            _log.warning("the event loop turns again", extra={"blocked_s": self.blocked_s})
        self._unanswered, self._next_s = 0, BLOCKED_S

    def _tell(self) -> None:
        owner, stack = self.culprit()
        extra: dict[str, object] = {"blocked_s": self.blocked_s}
        if owner is not None:
            extra |= {"task_id": owner.task_id, "operation": owner.operation}
        text = "the event loop is blocked: nothing else runs on this worker meanwhile"
        _log.handle(_log.makeRecord(_log.name, logging.WARNING, __file__, 0, text, (), None, None, extra, stack))


class Guard:
    """Ends the process if operations still run `slack_s` after the lease ran out.

    A thread, since the event loop cannot help when an operation blocks it or takes no notice of being cancelled.
    """

    def __init__(
        self,
        lease: Lease,
        is_operating: Callable[[], bool],
        *,
        slack_s: float,
        watch: LoopWatch | None = None,
        on_overdue: Callable[[], object] = lambda: None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """`on_overdue` is called once each time when the lease has run out while operations run, from the thread."""
        self._lease = lease
        self._is_operating = is_operating
        self._slack_s = slack_s
        self._watch = watch
        self._on_overdue = on_overdue
        self._end = end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-guard", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()
        if self._watch is not None:
            self._watch.start()

    def stop(self) -> None:
        """Nothing runs any more."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.stop()

    def _run(self) -> None:
        is_told = False
        while not self._stopping.wait(max(self._slack_s / 4, self._lease.left_s)):
            overdue_s = self._lease.now() - self._lease.ends_at_s
            if overdue_s <= 0 or not self._is_operating():
                is_told = False
                continue
            if not is_told:
                is_told = True
                self._on_overdue()
            if overdue_s > self._slack_s:
                _log.critical("the lease has run out and operations do not stop: the process ends")
                self._end(70)
                return
