"""Progress of one attempt: the newest wins, a few times a second, and the last one is always sent."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

INTERVAL_S: Final = 0.2


class Reporter:
    """Coalesces progress. `send` is called with a rising sequence, at most every `INTERVAL_S` seconds.

    What `send` raises is not lost: the progress stays the newest until it was sent or replaced.
    """

    def __init__(self, send: Callable[[int, bytes], Awaitable[bool]]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._newest: bytes | None = None
        self._sequence = 0
        self._reported = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def report(self, progress: bytes) -> None:
        """Take a newer progress; from any thread."""
        self._newest = progress
        self._loop.call_soon_threadsafe(self._reported.set)

    async def finish(self) -> None:
        """Send what was not sent yet; nothing is sent afterwards."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._flush()

    async def _run(self) -> None:
        while True:
            await self._reported.wait()
            self._reported.clear()
            # Shielded: once a sequence is taken its event is sent, even if the attempt ends meanwhile.
            await asyncio.shield(self._flush())
            await asyncio.sleep(INTERVAL_S)

    async def _flush(self) -> None:
        progress, self._newest = self._newest, None
        if progress is None:
            return
        self._sequence += 1
        if not await self._send(self._sequence, progress) and self._newest is None:
            self._newest = progress
