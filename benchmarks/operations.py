"""Operations that the benchmarks run."""

import time

from pulp_worker import Context, TaskCancelled, operation


@operation("noop")
async def noop(context: Context) -> None:
    """Does nothing."""


@operation("heeding", cancellable=True)
async def heeding(context: Context) -> None:
    """Waits until it is cancelled; reports that it waits, and then when it knew."""
    context.report({"waits": True})
    await context.wait_cancelled()
    context.report({"knew_at_s": time.monotonic()})  # the machine's clock: the same for all processes
    raise TaskCancelled
