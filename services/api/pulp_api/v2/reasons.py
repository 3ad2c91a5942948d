"""What a task waits for, and why it was skipped, as Pulp 2 tells both."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.task import State
from pulp_projections.reading.queries import TaskRow, states_of
from pulp_projections.reading.waiting import WaitingFacts, facts_of

from pulp_api.v2.report import NOTHING, Waits
from pulp_api.v2.words import WORDS

_EXCLUSIVE, _SHARED = "update", "read"
"""Pulp 2's words for how another task uses a resource."""
_EXPECTED: Final = [WORDS[State.SUCCESSFUL]]


async def waits_of(connection: AsyncConnection, task: TaskRow, *, unserved_s: float) -> Waits:
    """What a task in any state waits for, or why it was skipped."""
    if task.state == State.SKIPPED:
        return Waits(failures=(await failures_of(connection, [task])).get(task.task_id, {}))
    if task.state != State.WAITING:
        return NOTHING
    facts = await facts_of(connection, task.task_id, unserved_s=unserved_s)
    return NOTHING if facts is None else Waits(reasons=reasons_of(facts))


def reasons_of(facts: WaitingFacts) -> list[dict[str, Any]]:
    """The tasks that a waiting task waits for, and what for. Pure."""
    found = [_reason(held.resource, _EXCLUSIVE if held.is_exclusive else _SHARED, held.task_id) for held in facts.held]
    if facts.claimed_by is not None:
        return found  # the others are no longer before it
    if facts.ahead is not None:
        found.append(_reason(facts.ahead.resource, _EXCLUSIVE, facts.ahead.task_id))
    found += [_reason(f"task:{unmet.task_id}", _EXCLUSIVE, unmet.task_id) for unmet in facts.unmet]
    return found


async def failures_of(connection: AsyncConnection, tasks: Sequence[TaskRow]) -> dict[UUID, dict[str, Any]]:
    """Of each skipped task the dependencies that did not succeed, by id; `actual` is null for one that is not known."""
    skipped = [task for task in tasks if task.state == State.SKIPPED and task.depends_on]
    wanted = {other for task in skipped for other in task.depends_on}
    if not wanted:
        return {}
    states = await states_of(connection, sorted(wanted))
    return {
        task.task_id: {
            str(other): {"expected": _EXPECTED, "actual": _word(states.get(other))}
            for other in task.depends_on
            if states.get(other) != State.SUCCESSFUL
        }
        for task in skipped
    }


def _word(state: State | None) -> str | None:
    return None if state is None else WORDS.get(state, WORDS[State.RUNNING])


def _reason(resource: str, operation: str, task_id: UUID) -> dict[str, Any]:
    kind, _, identity = resource.partition(":")
    return {"resource_type": kind, "resource_id": identity, "operation": operation, "task_id": str(task_id)}
