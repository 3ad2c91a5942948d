"""Looking at processes."""

import asyncio

import psutil


def is_running(pid: int) -> bool:
    """Whether the process is alive: an unreaped zombie is not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def gone(*pids: int, limit_s: float = 60) -> None:
    """Returns when none of the processes runs any more."""
    async with asyncio.timeout(limit_s):
        while any(map(is_running, pids)):  # noqa: ASYNC110  # other processes' children cannot be waited for
            await asyncio.sleep(0.02)
