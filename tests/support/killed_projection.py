"""A process that projects batches into partition 0, and is killed as by `kill -9` before its Nth statement.

From the environment: DATABASE, LOG (a file with pickled batches), KILLED_AT.
"""

import asyncio
import os
import pickle
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psycopg import AsyncCursor
from pulp_events.reader import Record
from pulp_projections.writing.projector import Projector


def kill_at(statement: int) -> None:
    """Each statement counts, and each COPY; commits are statements of psycopg's own, which come between them."""
    left = [statement]

    def one_more() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    execute, copy = AsyncCursor.execute, AsyncCursor.copy

    async def counted_execute(*args: Any, **kwargs: Any) -> Any:
        one_more()
        return await execute(*args, **kwargs)

    def counted_copy(*args: Any, **kwargs: Any) -> Any:
        one_more()
        return copy(*args, **kwargs)

    AsyncCursor.execute, AsyncCursor.copy = counted_execute, counted_copy  # type: ignore[method-assign]  # to count


async def project(batches: Sequence[Sequence[Record]]) -> None:
    """All batches that are not written yet."""
    projector = Projector(os.environ["DATABASE"], 0)
    position = await projector.locate()
    for batch in batches:
        if batch[-1].offset >= position:
            await projector.project(batch)
    await projector.close()


if __name__ == "__main__":
    kill_at(int(os.environ["KILLED_AT"]))
    asyncio.run(project(pickle.loads(Path(os.environ["LOG"]).read_bytes())))
