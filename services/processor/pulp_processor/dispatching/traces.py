"""The spans of assignments: each is below the span that sent the task's `accepted`, and above that of the attempt."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.codec import EVERY_TYPE
from pulp_projections.sql import load, uuid_array
from pulp_runtime.telemetry.tracing import Kind, Span, Tracing, of_task

from pulp_processor.dispatching.dispatch import Assignment

_SQL: Final = load("pulp_processor.dispatching", "traces.sql")
ACCEPTED: Final = [kind for kind in EVERY_TYPE.values() if kind.startswith("org.pulpproject.task.accepted.")]
"""The types of `accepted`, of all versions."""


class AssignedSpan(NamedTuple):
    """The span of the assignment of one task."""

    task_id: UUID
    span: Span


async def contexts_of(connection: AsyncConnection, task_ids: Collection[UUID]) -> dict[UUID, str]:
    """The trace contexts with which the tasks were accepted, for those that have one."""
    values = {"task_ids": uuid_array(task_ids), "accepted": ACCEPTED}
    return dict(await (await connection.execute(_SQL["contexts"], values)).fetchall())


class AssignmentTraces:
    """Finds the contexts of tasks in their history, and gives the spans' contexts to their claims."""

    def __init__(self, connection: AsyncConnection, tracing: Tracing) -> None:
        self._connection = connection
        self._tracing = tracing

    async def begin(self, assignments: Sequence[Assignment]) -> Sequence[AssignedSpan]:
        """A span for each task that is traced."""
        tasks = {task.task_id: task for one in assignments for task in one.tasks if task.may_be_traced}
        if not tasks:  # nearly always
            return ()
        found = []
        for task_id, traceparent in (await contexts_of(self._connection, tasks)).items():
            task = tasks[task_id]
            attributes = of_task(task_id) | {"pulp.task.queue": task.offer.queue}
            span = self._tracing.begin(f"assign {task.offer.operation}", Kind.INTERNAL, traceparent, attributes)
            if span is not None:
                found.append(AssignedSpan(task_id, span))
        return found

    async def write(self, spans: Sequence[AssignedSpan]) -> None:
        """Give the contexts to the claims, in the transaction that makes them."""
        if spans:
            values = {
                "task_ids": uuid_array([each.task_id for each in spans]),
                "traceparents": [each.span.traceparent for each in spans],
            }
            await self._connection.execute(_SQL["give"], values)

    def end(self, spans: Sequence[AssignedSpan], claimed: Collection[UUID]) -> None:
        """The assignments are written, of those tasks that still waited."""
        for each in spans:
            each.span.end(None if each.task_id in claimed else "not_waiting")
