"""Operations that the benchmarks run."""

import asyncio
import time

from pulp_worker import Context, TaskCancelled, operation


@operation("noop")
async def noop(context: Context) -> None:
    """Does nothing."""


@operation("resting")
async def resting(context: Context) -> None:
    """Takes fifty milliseconds, and no processor time."""
    await asyncio.sleep(0.05)


@operation("heeding", cancellable=True)
async def heeding(context: Context) -> None:
    """Waits until cancelled; reports that it waits, and when it noticed the cancel."""
    context.report({"waits": True})
    await context.wait_cancelled()
    context.report({"knew_at_s": time.monotonic()})  # the machine's clock: the same for all processes
    raise TaskCancelled
