"""The tasks, thread calls and processes that async operations start on the worker's loop, by operation.

A context variable says which operation a piece of code belongs to; asyncio passes it on to tasks, callbacks and
`asyncio.to_thread`.
"""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final, Self
from uuid import UUID
from weakref import WeakSet

from pulp_worker.descendants import children_of, kill, tree_of
from pulp_worker.forked import leave_forked
from pulp_worker.output import OutputLines

_PAUSE_S: Final = 0.02
_COLLECTING: Final = ("waitpid-", "asyncio-waitpid-")
_all_tasks: Final = asyncio.all_tasks
_log = logging.getLogger("pulp.worker")
_printed = logging.getLogger("pulp.operation")
_printing = threading.RLock()


class Belongings:
    """The belongings of one async operation. Use it on the loop, unless a method says otherwise."""

    def __init__(self, task_id: UUID, operation: str) -> None:
        self.task_id = task_id
        self.operation = operation
        self.exit: BaseException | None = None
        """The exit, if one of its tasks called `sys.exit()`."""
        self._owner: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Future[Any]] = set()
        self._calls: set[Future[Any]] = set()
        self._threads: WeakSet[threading.Thread] | tuple[()] = ()  # created when needed: it costs as much as a task
        self._processes: list[subprocess.Popen[Any]] = []
        self._executor: ThreadPoolExecutor | None = None
        self._output: OutputLines | None = None

    def enter(self) -> None:
        """From now on, the current task runs the operation, and everything that it starts belongs to the operation."""
        self._owner = asyncio.current_task()
        OWNER.set(self)

    def leave(self, exit: BaseException) -> None:
        """One of its tasks called `sys.exit()`: the operation ends, as a program would."""
        self.exit = exit
        if self._owner is not None:
            self._owner.cancel()

    def add_task(self, task: "asyncio.Future[Any]") -> None:
        """A task was created."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def has_task(self, task: "asyncio.Task[Any]") -> bool:
        """Whether this task runs the operation, or belongs to it."""
        return task is self._owner or task in self._tasks

    def add_thread(self, thread: threading.Thread) -> None:
        """A thread is started; from any thread."""
        self._threads = self._threads or WeakSet()
        self._threads.add(thread)

    def add_process(self, process: "subprocess.Popen[Any]") -> None:
        """A process is about to be started; from any thread."""
        self._processes.append(process)

    def submit(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> "Future[Any]":
        """Call the function in a thread of the operation's own, so that nobody else waits for it. From any thread."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(thread_name_prefix=f"operation-{self.task_id}")
        call = self._executor.submit(function, *arguments, **named)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call

    def write(self, text: str) -> None:
        """The operation prints; from any thread."""
        with _printing:
            if self._output is None:
                self._output = OutputLines()
            lines = self._output.feed_text(text)
        self._say(lines)

    async def end(self, grace_s: float, on_stuck: Callable[[], None]) -> None:
        """The operation has ended: end what is left of it, and return once no more of it can be ended.

        `on_stuck` is called if anything is left after `grace_s`.
        """
        if self._tasks or self._calls or self._processes or self._threads or self._executor is not None:
            timer = asyncio.get_running_loop().call_later(grace_s, self._lose_patience, on_stuck)
            await self._end_all()
            timer.cancel()
        if self._output is not None:
            self._say(self._output.end())

    async def _end_all(self) -> None:
        await self._end_processes()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        seen: set[asyncio.Future[Any]] = set()
        while self._tasks or self._calls:
            for task in self._tasks - seen:
                task.cancel()
            seen |= self._tasks
            await asyncio.sleep(_PAUSE_S if self._calls else 0)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_PAUSE_S)
        await self._end_processes()
        names = [thread.name for thread in self._threads if thread.is_alive() and not self._is_harmless(thread)]
        if names:
            _log.warning(
                "an operation has left threads behind, which go on",
                extra={"task_id": self.task_id, "operation": self.operation, "threads": names},
            )

    async def _end_processes(self) -> None:
        # A process that could not be started has no pid.
        going_on = [one for one in self._processes if getattr(one, "pid", None) and one.returncode is None]
        self._processes = []
        own = children_of(os.getpid()) if going_on else []
        for process in going_on:
            pid = process.pid
            if pid not in own:
                continue
            _log.warning(
                "an operation has left a process behind: it is killed", extra={"task_id": self.task_id, "pid": pid}
            )
            for descendant in tree_of(pid):
                kill(descendant)
            while pid in children_of(os.getpid()):  # noqa: ASYNC110  # asyncio may wait for this process, or nobody
                await asyncio.sleep(_PAUSE_S)
            await asyncio.sleep(_PAUSE_S)
            process.poll()

    def _is_harmless(self, thread: threading.Thread) -> bool:
        """It is of the operation's executor, or is asyncio's own, which waits for a process to exit."""
        return thread.name.startswith((f"operation-{self.task_id}", *_COLLECTING))

    def _lose_patience(self, on_stuck: Callable[[], None]) -> None:
        _log.error(
            "an operation has ended, and something that it started does not",
            extra={
                "task_id": self.task_id,
                "operation": self.operation,
                "tasks": [str(task) for task in self._tasks],
                "calls_in_threads": len(self._calls),
            },
        )
        on_stuck()

    def _say(self, lines: list[str]) -> None:
        for text in lines:
            _printed.info("%s", text, extra={"task_id": self.task_id})


OWNER: Final[ContextVar[Belongings | None]] = ContextVar("pulp_operation", default=None)
"""The operation whose code runs; None for the worker's own code."""


class OperationThreads(ThreadPoolExecutor):
    """The loop's default executor: functions that operations call with `asyncio.to_thread` run in the operations' own
    threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """See `Executor.submit`."""
        owner = OWNER.get()
        return super().submit(fn, *args, **kwargs) if owner is None else owner.submit(fn, *args, **kwargs)


def own_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """From now on, tasks that operations create on the loop are recorded as theirs."""
    make = loop.get_task_factory() or _make_task
    if getattr(make, "owns_tasks", False):
        return

    def owned(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Future[Any]":
        owner = OWNER.get()
        if owner is None:
            return make(loop, coro, **options)
        task = make(loop, _StepsOfTask(coro, owner) if asyncio.iscoroutine(coro) else coro, **options)
        owner.add_task(task)
        return task

    owned.owns_tasks = True  # type: ignore[attr-defined]
    loop.set_task_factory(owned)


def show_own_tasks() -> None:
    """From now on `asyncio.all_tasks` shows an operation only its own tasks. Call it once per process.

    Code that cancels all tasks, as programs do at their end, would otherwise cancel the worker's too.
    """

    def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> "set[asyncio.Task[Any]]":
        owner, tasks = OWNER.get(), _all_tasks(loop)
        return tasks if owner is None else {task for task in tasks if owner.has_task(task)}

    asyncio.all_tasks = asyncio.tasks.all_tasks = all_tasks


def own_threads_and_processes() -> None:
    """From now on, threads and processes that operations start are recorded as theirs. Call it once per process."""
    sys.addaudithook(_note_process)
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        owner = OWNER.get()
        if owner is not None:
            owner.add_thread(thread)
        start(thread)

    threading.Thread.start = noted  # type: ignore[assignment]  # the thread does not have its starter's variables


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Future[Any]":
    return asyncio.Task(coro, loop=loop, **options)


def _note_process(event: str, _: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        owner = OWNER.get()
        # The audit event names the program, not the `Popen` object: that is the caller, which raises the event.
        process = sys._getframe(1).f_locals.get("self") if owner is not None else None
        if owner is not None and isinstance(process, subprocess.Popen):
            owner.add_process(process)


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine of an operation, step by step: a process that it forks does not return to the worker's loop."""

    def __init__(self, coro: Coroutine[Any, Any, Any]) -> None:
        self._coro = coro
        self._pid = os.getpid()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """See `Coroutine.send`."""
        return self._step(self._coro.send, value)

    def throw(self, *error: Any) -> Any:
        """See `Coroutine.throw`."""
        return self._step(self._coro.throw, *error)

    def close(self) -> None:
        """See `Coroutine.close`."""
        self._coro.close()

    def _step(self, advance: Callable[..., Any], *arguments: Any) -> Any:
        try:
            found = advance(*arguments)
        except BaseException as error:
            if os.getpid() != self._pid:
                leave_forked(None if isinstance(error, StopIteration) else error)
            raise
        if os.getpid() != self._pid:
            leave_forked(None)
        return found


class _StepsOfTask(Steps):
    """`sys.exit()` in a task of an operation ends the operation instead of the worker's loop."""

    def __init__(self, coro: Coroutine[Any, Any, Any], owner: Belongings) -> None:
        super().__init__(coro)
        self._owner = owner

    def _step(self, advance: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return super()._step(advance, *arguments)
        except (SystemExit, KeyboardInterrupt) as error:
            self._owner.leave(error)
            raise asyncio.CancelledError from error
