"""The fold of one batch, which may begin while the batch before it is still being written."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from typing import Protocol, Self
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.reader import Record
from pulp_events.task import Task

from pulp_projections.channels import told_to_worker, worker_channel
from pulp_projections.detached import NOTHING, Detached
from pulp_projections.writing import history_rows
from pulp_projections.writing.fold import Changes, Fold, HistoryRow
from pulp_projections.writing.parking import NOBODY, Parked
from pulp_projections.writing.target import Place


class BatchFold:
    """A batch with its fold: its rows of the history, created on demand or ahead of time, and its changes.

    `task_ids` are the tasks that the batch may be about, `known` those of them that exist before it, `parked` the
    tasks that are parked. If it comes `after` a batch that is not written yet, `known` is the state before that one,
    and `parked` comes from it.
    """

    def __init__(
        self,
        records: Sequence[Record],
        task_ids: Set[UUID],
        known: Mapping[UUID, Task],
        *,
        refused: Mapping[int, str] | None = None,
        parked: Parked = NOBODY,
        after: Self | None = None,
        detached: Detached = NOTHING,
    ) -> None:
        """Rows of `detached` months are not written by COPY, which is how a rebuild writes."""
        self.records = records
        self.task_ids = task_ids
        self.known = dict(known)
        self._after = after
        self._detached = detached
        self._fold = Fold(self.known, refused, parked)
        self._rows: list[HistoryRow] | None = None
        self._changes: Changes | None = None
        self._is_complete = asyncio.Event()
        self._rest = self._parts()
        self._ahead: deque[bytes] = deque()

    def rows(self) -> list[HistoryRow]:
        """All rows of the history, folded in one go. For a batch without a predecessor."""
        if self._rows is None:
            self._rows = list(self._fold.history(self.records))
        return self._rows

    def known_before(self, task_ids: Set[UUID]) -> dict[UUID, Task]:
        """Its existing tasks as they are before the batch. The history of the batch before must be complete."""
        self._take_over()
        return {task_id: task for task_id, task in self.known.items() if task_id in task_ids}

    def history(self) -> Iterator[bytes]:
        """The history for COPY in parts, each once. The history of the batch before must be complete."""
        while (part := self._ahead.popleft() if self._ahead else next(self._rest, None)) is not None:
            yield part

    @property
    def parked(self) -> Parked:
        """The tasks that are parked after the batch. The history must be complete."""
        return self._fold.parked

    def changes(self) -> Changes:
        """What the batch changes besides the history, which must be complete."""
        if self._changes is None:
            self._changes = self._fold.changes()
        return self._changes

    @asynccontextmanager
    async def ahead(self) -> AsyncIterator[None]:
        """Within it, the history is created whenever the event loop is free, once the previous batch's is complete."""
        task = asyncio.create_task(self._run_ahead())
        try:
            yield
        finally:
            task.cancel()  # it waits only between two parts, so none is lost
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()  # raises the task's exception

    async def _run_ahead(self) -> None:
        if self._after is not None:
            await self._after._is_complete.wait()
        for part in self._rest:
            self._ahead.append(part)
            await asyncio.sleep(0)

    def _parts(self) -> Iterator[bytes]:
        self._take_over()
        rows: Iterable[HistoryRow] = self._fold.history(self.records) if self._rows is None else self._rows
        if self._detached.months:
            rows = (row for row in rows if not self._detached.has(row.record))
        yield from history_rows.binary(rows)
        self._is_complete.set()

    def _take_over(self) -> None:
        """Take over the changes of the batch before."""
        after, self._after = self._after, None
        if after is not None:
            self.known.update(after._fold.evolved(self.task_ids))
            self._fold.parked_before = after._fold.parked


def worker_notices(changes: Changes, place: Place) -> dict[str, list[str]]:
    """The notifications of a batch, for statements that take `channels` and `payloads`."""
    return {
        "channels": [worker_channel(name) for name in changes.workers],
        "payloads": [told_to_worker(place.payload, is_news=is_news) for is_news in changes.workers.values()],
    }


class BatchWriter(Protocol):
    """A way to write a batch into Postgres."""

    async def write(self, connection: AsyncConnection, place: Place, batch: BatchFold) -> Changes:
        """Write the rows of the batch and its position, or nothing; returns what the batch changed. Raises
        `OutOfPlace`."""
        ...
