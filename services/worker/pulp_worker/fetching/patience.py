"""Trying again what may work the next time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from pulp_worker.fetching.errors import FetchFailed

T = TypeVar("T")
PAUSES_S: tuple[float, ...] = (0.5, 2.0)
"""How long to wait before the second try and those after it; after the last one the fetch has failed."""
LONGEST_PAUSE_S: Final = 120.0
"""A server that asks for more has failed."""


async def patiently(attempt: Callable[[], Awaitable[T]], pauses_s: Sequence[float] | None = None) -> T:
    """What the attempt returns; after a transient `FetchFailed` it is made again, after what `Retry-After` asks for."""
    for pause_s in PAUSES_S if pauses_s is None else pauses_s:
        try:
            return await attempt()
        except FetchFailed as error:
            if not error.is_transient or (error.pause_s or 0) > LONGEST_PAUSE_S:
                raise
            await asyncio.sleep(max(pause_s, error.pause_s or 0))
    return await attempt()


def asked_pause_s(retry_after: str, now: datetime | None = None) -> float | None:
    """What a `Retry-After` asks for, as seconds or as a date; None for anything else."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
