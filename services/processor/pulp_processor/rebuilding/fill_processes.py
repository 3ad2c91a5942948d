"""Processes that fill partitions side by side. One Python keeps one core busy, and of a rebuild most is Python."""

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

from pulp_processor.rebuilding.errors import RebuildInterrupted
from pulp_processor.rebuilding.fill import Filler, Share, fill_share

_MOST: Final = 4
"""Postgres takes no more of these: each has its connection, and it also serves others."""
# Forked, they share with this process all that it has imported.
_context: Final[Any] = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


class _Child(NamedTuple):
    process: BaseProcess
    pipe: Connection


def usual_count() -> int:
    """One for each core that this process may use, but not more than a few."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, _MOST)


class FillProcesses:
    """So many processes from `with` on, this one among them. Enter it before any thread and any event loop is there.

    The others end with it, and with this process, however that ends. After a failure or a cancellation it is used up.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free: list[_Child] = []
        self._all: list[_Child] = []

    def __enter__(self) -> Self:
        for _ in range(self._count - 1):
            ours, theirs = _context.Pipe()
            process = _context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()  # so that ours tells when the process has ended
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
        """What `fill` takes."""
        return Filler(self._fill, self._count)

    async def _fill(self, share: Share, moved: Callable[[int], None]) -> None:
        if not self._free:
            await fill_share(share, moved)  # else it would only wait, and hold what it has imported
            return
        child = self._free.pop()
        try:
            await _command(child, share, moved)
        except BaseException:
            _kill(child)  # nothing may be written any more once this has returned
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
            f"the process that filled partition {share.partition} was ended ({child.process.exitcode})."
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
    """What it has not committed Postgres undoes."""
    child.process.kill()
    child.process.join()
    child.pipe.close()


def _serve(pipe: Connection) -> None:
    """The life of a process: it fills what it is told to, one share after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the one that commands decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        share: Share = pipe.recv()
        try:
            asyncio.run(fill_share(share, pipe.send))
        except Exception as error:  # the edge of a process: the one that commands raises it
            pipe.send(error)
        else:
            pipe.send(None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # it was made by another one
    parent.join()
    os._exit(1)
