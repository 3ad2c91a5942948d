"""Processes that fill partitions in parallel: a rebuild is mostly Python, which uses one core per process."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from pulp_processor.consuming import internals
from pulp_processor.rebuilding.errors import RebuildInterrupted
from pulp_processor.rebuilding.fill import Filler, Share, fill_share

_MOST: Final = 4
"""With more processes, Postgres would have too little capacity left for others."""
_NICENESS: Final = 19
"""Live processes on the same machine come first: at their priority a rebuild took 44 % of the projection's rate."""
# Forked processes share the memory of what this one has imported.
_context: Final[Any] = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


class _Child(NamedTuple):
    process: BaseProcess
    pipe: Connection


def usual_count() -> int:
    """One for each core that this process may use, up to a few."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, _MOST)


class FillProcesses:
    """A pool of `count` processes of the lowest priority. Enter it before any thread or event loop exists.

    They end when the block ends, or when this process ends, however it does. A pool cannot be used again after a
    failure or a cancellation.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free: list[_Child] = []
        self._all: list[_Child] = []

    def __enter__(self) -> Self:
        for _ in range(self._count):
            ours, theirs = _context.Pipe()
            process = _context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()  # so that our end reports when the process has ended
            self._all.append(_Child(process, ours))
        self._free = self._all.copy()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._all:
            _kill(child)

    @property
    def filler(self) -> Filler:
        """To pass to `fill`."""
        return Filler(self._fill, self._count)

    async def _fill(self, share: Share, moved: Callable[[int], None]) -> None:
        child = self._free.pop()
        try:
            await _command(child, share, moved)
        except BaseException:
            _kill(child)  # nothing may be written after this has returned
            raise
        self._free.append(child)


async def _command(child: _Child, share: Share, moved: Callable[[int], None]) -> None:
    try:
        child.pipe.send(share)
        while (message := await _receive(child.pipe)) is not None:
            if isinstance(message, Exception):
                raise message
            moved(message)
    except (EOFError, ConnectionError) as error:
        child.process.join()
        raise RebuildInterrupted(
            f"the process that filled partition {share.partition} ended ({child.process.exitcode})."
            " What was filled stays: resume the rebuild"
        ) from error


async def _receive(pipe: Connection) -> int | Exception | None:
    """The next message: a position, an error, or None at the end. Raises `EOFError` if the process is gone."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pipe.fileno())
    message: int | Exception | None = pipe.recv()
    return message


def _kill(child: _Child) -> None:
    """Postgres rolls back uncommitted work."""
    child.process.kill()
    child.process.join()
    child.pipe.close()


def _serve(pipe: Connection) -> None:
    """Fill the shares that arrive through the pipe, one after the other, forever."""
    internals.install()  # a spawned process does not inherit it
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to every process; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        share: Share = pipe.recv()
        try:
            asyncio.run(fill_share(share, pipe.send))
        except Exception as error:  # the edge of a process: the parent raises it
            pipe.send(error)
        else:
            pipe.send(None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # a child always has one
    parent.join()
    os._exit(1)
