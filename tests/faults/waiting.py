"""Waits for conditions by polling."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

LIMIT_S: Final = 90.0


async def until(what: str, holds: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Poll in a thread until the condition holds. Raises `TimeoutError` after the limit, which names the condition."""
    ends = time.monotonic() + limit_s
    while not await asyncio.to_thread(holds):
        if time.monotonic() > ends:
            raise TimeoutError(f"{what}: not within {limit_s:g} s")
        await asyncio.sleep(0.1)
