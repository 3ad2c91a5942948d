"""Running coroutines at once, and stopping them when the task is cancelled."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from pulp_worker import Context, TaskCancelled

T = TypeVar("T")


async def unless_cancelled(context: Context[Any], coroutine: Coroutine[None, None, T]) -> T:
    """The coroutine's result. A cancel of the task ends it at once and raises `TaskCancelled`."""
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
    """Run them at once. The first error ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
