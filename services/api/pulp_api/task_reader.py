"""Reading one task, and its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import TaskNotFound
from pulp_events.task import Position
from pulp_projections.reading import queries
from pulp_projections.reading.archived import RecordArchive
from pulp_projections.reading.as_of import task_as_of
from pulp_projections.reading.moments import Asked
from pulp_projections.reading.queries import HistoryEntry, TaskRow
from pulp_projections.reading.reruns import Reruns, reruns, task_and_reruns
from pulp_projections.times import moment

from pulp_api.freshness import Freshness


class MissingTask(TaskNotFound):
    """No task has this id in the projection, whose lag is `lag`; None if it has caught up."""

    def __init__(self, task_id: UUID, lag: str | None) -> None:
        super().__init__(task_id)
        self.lag = lag


@dataclass(frozen=True, slots=True)
class FoundTask:
    """A task as it was read. `lag` is the number of events that may be missing, None if none is."""

    task: TaskRow
    reruns: Reruns
    lag: str | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some of a task's events. `lag` is the number of events of the log that may be missing, None if none is."""

    entries: list[HistoryEntry]
    has_more: bool
    """More events follow."""
    count: int
    """Number of events that the task has in all."""
    lag: str | None


class TaskReader:
    """Reads a task with everything that was in the log when the call came, or else with the lag."""

    def __init__(self, freshness: Freshness, archive: RecordArchive | None = None) -> None:
        """`archive` has the events of months that were detached from the history."""
        self._freshness = freshness
        self._archive = archive

    async def read(
        self,
        task_id: UUID,
        *,
        least: Mapping[int, int] | None = None,
        as_of: Asked | None = None,
        or_purged: bool = False,
    ) -> FoundTask:
        """One task; with `as_of` as it was at that moment.

        A task that is purged now is missing unless `or_purged`. Raises `MissingTask`, and `PositionNotReached` if the
        projection does not reach `least` in time.
        """
        async with self._freshness.fresh_connection(least) as (connection, lag):
            if as_of is None:
                found = await task_and_reruns(connection, task_id)
                is_purged = found is not None and found[0].purged_at_ms is not None
            else:
                found = await _as_it_was(connection, task_id, as_of, self._archive)
                is_purged = await queries.is_purged(connection, task_id)
        if found is None or (is_purged and not or_purged):
            raise MissingTask(task_id, lag)
        return FoundTask(*found, lag)

    async def history(
        self, task_id: UUID, *, least: Mapping[int, int] | None = None, after: Position | None = None, limit: int
    ) -> HistoryPage:
        """Up to `limit` events in log order, after a position, in at most `queries.HISTORY_BYTES`.

        Raises what `read` raises.
        """
        async with self._freshness.fresh_connection(least) as (connection, lag):
            found = await queries.history(connection, task_id, after=after, limit=limit + 1, archive=self._archive)
            count = await queries.count_history(connection, task_id)
        if count is None:
            raise MissingTask(task_id, lag)
        page = entries_of_page(found, limit)
        return HistoryPage(page, has_more(found, page), count, lag)


def has_more(found: Sequence[HistoryEntry], page: Sequence[HistoryEntry]) -> bool:
    """Whether events may follow a page: further ones were found, or the search has ended for their bytes alone."""
    return len(found) > len(page) or sum(len(entry.event) for entry in found) >= queries.HISTORY_BYTES


def entries_of_page(found: Sequence[HistoryEntry], limit: int) -> list[HistoryEntry]:
    """The entries that fit a page by number and by bytes: at least one, if one was found."""
    page: list[HistoryEntry] = []
    left = queries.HISTORY_BYTES
    for entry in found[:limit]:
        left -= len(entry.event)
        if page and left < 0:
            break
        page.append(entry)
    return page


async def _as_it_was(
    connection: AsyncConnection, task_id: UUID, as_of: Asked, archive: RecordArchive | None
) -> tuple[TaskRow, Reruns] | None:
    task = await task_as_of(connection, task_id, as_of, archive)
    if task is None:
        return None
    until = as_of if isinstance(as_of, datetime) else moment(task.updated_at_ms)
    return task, await reruns(connection, task_id, until=until)
