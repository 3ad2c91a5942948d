"""Taking turns at what may read for long, so that it never takes all connections to Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pulp_events.errors import ReadModelUnavailable


@asynccontextmanager
async def turn_of(turns: asyncio.Semaphore, wait_s: float, refusal: str) -> AsyncIterator[None]:
    """Hold one of the turns in the block. Raises `ReadModelUnavailable` with the refusal if none is free in time."""
    try:
        async with asyncio.timeout(wait_s):
            await turns.acquire()
    except TimeoutError:
        raise ReadModelUnavailable(refusal) from None
    try:
        yield
    finally:
        turns.release()
