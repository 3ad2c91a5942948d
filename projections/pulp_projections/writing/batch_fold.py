"""The fold of one batch, which may begin while the batch before it is still being written."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from typing import Self
from uuid import UUID

from pulp_events.reader import Record
from pulp_events.task import Task

from pulp_projections.writing import history_rows
from pulp_projections.writing.fold import Changes, Fold


class BatchFold:
    """A batch's fold, and its rows of the history for COPY, made when they are asked for or ahead of that.

    `task_ids` are those that the batch may be about, `known` the tasks that there are of them before it; but where it
    comes `after` another batch that is not written yet, before that one.
    """

    def __init__(
        self,
        records: Sequence[Record],
        task_ids: Set[UUID],
        known: Mapping[UUID, Task],
        *,
        refused: Mapping[int, str] | None = None,
        after: Self | None = None,
    ) -> None:
        self.records = records
        self.task_ids = task_ids
        self.known = dict(known)
        self._after = after
        self._fold = Fold(self.known, refused)
        self._is_made = asyncio.Event()
        self._rest = self._parts()
        self._ahead: deque[bytes] = deque()

    def history(self) -> Iterator[bytes]:
        """The parts of the history, each once. Those of the batch before must have been made."""
        while (part := self._ahead.popleft() if self._ahead else next(self._rest, None)) is not None:
            yield part

    def changes(self) -> Changes:
        """What the batch changes beside the history, all of which must have been made."""
        return self._fold.changes()

    @asynccontextmanager
    async def ahead(self) -> AsyncIterator[None]:
        """Within it the history is made whenever others wait, once that of the batch before is."""
        task = asyncio.create_task(self._run_ahead())
        try:
            yield
        finally:
            task.cancel()  # between two parts, as it waits nowhere else
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()  # raises what it did

    async def _run_ahead(self) -> None:
        if self._after is not None:
            await self._after._is_made.wait()
        for part in self._rest:
            self._ahead.append(part)
            await asyncio.sleep(0)

    def _parts(self) -> Iterator[bytes]:
        after, self._after = self._after, None
        if after is not None:
            self.known.update(after._fold.evolved(self.task_ids))
        yield from history_rows.binary(self._fold.history(self.records))
        self._is_made.set()
