"""Doing several things at once, and stopping them when somebody cancels the task."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from pulp_worker import Context, TaskCancelled

T = TypeVar("T")


async def unless_cancelled(context: Context[Any], coroutine: Coroutine[None, None, T]) -> T:
    """What the coroutine returns. A cancel ends it at once, whatever it waits for, and raises `TaskCancelled`."""
    work = asyncio.create_task(coroutine)
    cancelled = asyncio.create_task(context.wait_cancelled())
    try:
        await asyncio.wait([work, cancelled], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise TaskCancelled
    finally:
        work.cancel()
        cancelled.cancel()
        await asyncio.gather(work, cancelled, return_exceptions=True)


async def together(coroutines: Iterable[Coroutine[None, None, None]]) -> None:
    """Run them at once; the first that raises ends the others, and what it raised is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
