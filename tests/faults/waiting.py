"""Waiting for what cannot tell when it has come."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

LIMIT_S: Final = 90.0


async def until(what: str, holds: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Look, in a thread, until it holds. Raises `TimeoutError` after the limit, which says what was waited for."""
    ends = time.monotonic() + limit_s
    while not await asyncio.to_thread(holds):
        if time.monotonic() > ends:
            raise TimeoutError(f"{what}: not within {limit_s:g} s")
        await asyncio.sleep(0.1)
