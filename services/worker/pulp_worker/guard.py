"""Threads that watch from outside whether the worker's loop runs, and whether its operations stop with the lease.

One sleeps while no operation is on the loop, the other until the lease runs out.
"""

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
"""A loop that is blocked for this long is reported, again after twice the time, and so on."""
_log = logging.getLogger("pulp.worker")
_HANDLE_RUN: Final = asyncio.Handle._run.__code__


class Culprit(NamedTuple):
    """Where a loop is blocked."""

    owner: Belongings | None
    """None for code that belongs to no operation."""
    stack: str


def owner_of(trace: TracebackType | None) -> Belongings | None:
    """The operation on the loop whose code raised."""
    owner = None
    while trace is not None:
        owner = owner or _owner_in(trace.tb_frame)
        trace = trace.tb_next
    return owner


def _owner_in(frame: FrameType) -> Belongings | None:
    """The owner of a step of a task or of a callback: each runs with the context variables of its creator."""
    if frame.f_code is not _HANDLE_RUN:
        return None
    owner: Belongings | None = frame.f_locals["self"]._context.get(OWNER)
    return owner


class LoopWatch:
    """Reports when operations block the loop, which of them, and where. Its thread sleeps while none is on the loop.

    It counts its own turns, not the time: a process that was stopped as a whole did not block its loop.
    """

    def __init__(self, on_begin: Callable[[], object] = lambda: None) -> None:
        """`on_begin` is called on the loop before each operation."""
        self._on_begin = on_begin
        self._operations = 0
        self._awake = threading.Event()
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
        """Stop watching."""
        self._stopping.set()
        self._awake.set()

    def begin(self) -> None:
        """An operation begins on the loop. Call it there, before any code of the operation runs."""
        self._on_begin()
        self._operations += 1
        if not self._awake.is_set():
            self._awake.set()

    def end(self) -> None:
        """No part of the operation is on the loop any more."""
        self._operations -= 1

    @property
    def blocked_s(self) -> float:
        """About how long the loop has been blocked; from any thread."""
        return max(0, self._unanswered - 1) * TICK_S

    def culprit(self) -> Culprit:
        """The code that the loop is running, from another thread."""
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
        while self._awake.wait() and not self._stopping.wait(TICK_S):
            if self._operations == self._unanswered == 0:
                self._sleep()
                continue
            self._unanswered += 1
            if self._unanswered == 1:
                try:
                    loop.call_soon_threadsafe(self._answer)
                except RuntimeError:  # the loop is closed
                    return
            elif self.blocked_s >= self._next_s:
                self._next_s *= 2
                self._tell()

    def _sleep(self) -> None:
        self._awake.clear()
        if self._operations or self._stopping.is_set():  # set since then, by a caller that saw this thread awake
            self._awake.set()

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

    It is a thread, since the event loop cannot help if an operation blocks it or ignores its cancellation.
    """

    def __init__(
        self,
        lease: Lease,
        is_operating: Callable[[], bool],
        *,
        slack_s: float,
        watch: LoopWatch | None = None,
        pulse: Callable[[float], None] = lambda _: None,
        on_overdue: Callable[[], object] = lambda: None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """All are called from the thread: `on_overdue` once each time the lease runs out while operations run.

        `pulse` gets the end of the lease when that was due, and four times per `slack_s` after it has run out.
        """
        self._lease = lease
        self._is_operating = is_operating
        self._slack_s = slack_s
        self._watch = watch
        self._pulse = pulse
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
        """Stop watching: nothing runs any more."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.stop()

    def _run(self) -> None:
        is_told = False
        while not self._stopping.wait(max(self._slack_s / 4, self._lease.left_s)):
            self._pulse(self._lease.ends_at_s)
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
