"""Sends the progress of one attempt: the newest a few times a second, and always the last."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Final

INTERVAL_S: Final = 0.2


class Reporter:
    """Coalesces progress: calls `send` with a rising sequence, at most every `INTERVAL_S` seconds.

    `send` returns whether it was sent; if not, the same or a newer progress is sent after the next interval.
    """

    def __init__(
        self,
        send: Callable[[int, bytes], Awaitable[bool]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._send = send
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._variables = copy_context()
        """The context variables of the attempt: sending for an operation does not belong to the operation, and
        may outlive it."""
        self._newest: bytes | None = None
        self._sequence = 0
        self._reported = asyncio.Event()
        self._sending = asyncio.Lock()
        self._is_finished = False
        self._task: asyncio.Task[None] | None = None

    def report(self, progress: bytes) -> None:
        """Take a newer progress; from any thread."""
        self._newest = progress
        self._loop.call_soon_threadsafe(self._notice, context=self._variables)

    async def finish(self) -> None:
        """Returns when everything is sent; nothing is sent afterwards."""
        self._is_finished = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while not await self._flush():
            await self._sleep(INTERVAL_S)

    def _notice(self) -> None:
        self._reported.set()
        if self._task is None and not self._is_finished:  # most short operations report nothing
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._reported.wait()
            self._reported.clear()
            # Shielded: once a sequence is taken its event is sent, even if the attempt ends meanwhile.
            if not await asyncio.shield(self._flush()):
                self._reported.set()
            await self._sleep(INTERVAL_S)

    async def _flush(self) -> bool:
        async with self._sending:
            progress, self._newest = self._newest, None
            if progress is None:
                return True
            self._sequence += 1
            is_sent = await self._send(self._sequence, progress)
            if not is_sent and self._newest is None:
                self._newest = progress
            return is_sent
