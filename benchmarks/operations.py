"""Operations that the benchmarks run."""

from pulp_worker import Context, operation


@operation("noop")
async def noop(context: Context) -> None:
    """Does nothing."""
