"""What a task waits for, and why it was skipped, as Pulp 2 tells both."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.task import State
from pulp_projections.reading.queries import TaskRow, states_of
from pulp_projections.reading.waiting import WaitingFacts

from pulp_api.authenticated_call import AuthenticatedCall
from pulp_api.v2.report import NOTHING, Waits
from pulp_api.v2.words import WORDS

_EXCLUSIVE, _SHARED = "update", "read"
"""Pulp 2's words for how another task uses a resource."""
_EXPECTED: Final = [WORDS[State.SUCCESSFUL]]


async def waits_of(connection: AsyncConnection, call: AuthenticatedCall, task: TaskRow) -> Waits:
    """What a task in any state waits for, or why it was skipped, as the user may know it."""
    if task.state == State.SKIPPED:
        return Waits(failures=(await failures_of(connection, call, [task])).get(task.task_id, {}))
    if task.state != State.WAITING:
        return NOTHING
    facts = await call.waiting_facts(connection, task.task_id)
    return NOTHING if facts is None else Waits(reasons=reasons_of(facts))


def reasons_of(facts: WaitingFacts) -> list[dict[str, Any]]:
    """The tasks that a waiting task waits for, and what for; null for tasks that the reader may not see. Pure."""

    def reason(resource: str, operation: str, task_id: UUID) -> dict[str, Any]:
        return _reason(resource, operation, None if task_id in facts.hidden else task_id)

    found = [reason(held.resource, _EXCLUSIVE if held.is_exclusive else _SHARED, held.task_id) for held in facts.held]
    found = [each for place, each in enumerate(found) if each not in found[:place]]  # how many are hidden is not told
    if facts.claimed_by is not None:
        return found  # the others are no longer before it
    if facts.ahead is not None:
        found.append(reason(facts.ahead.resource, _EXCLUSIVE, facts.ahead.task_id))
    found += [reason(f"task:{unmet.task_id}", _EXCLUSIVE, unmet.task_id) for unmet in facts.unmet]
    return found


async def failures_of(
    connection: AsyncConnection, call: AuthenticatedCall, tasks: Sequence[TaskRow]
) -> dict[UUID, dict[str, Any]]:
    """Of each skipped task the dependencies that did not succeed, by id.

    `actual` is null for one that is not known, or that the user may not see.
    """
    skipped = [task for task in tasks if task.state == State.SKIPPED and task.depends_on]
    wanted = {other for task in skipped for other in task.depends_on}
    if not wanted:
        return {}
    states = await states_of(connection, sorted(wanted))
    hidden = await call.hidden(connection, wanted)
    return {
        task.task_id: {
            str(other): {"expected": _EXPECTED, "actual": None if other in hidden else _word(states.get(other))}
            for other in task.depends_on
            if states.get(other) != State.SUCCESSFUL
        }
        for task in skipped
    }


def _word(state: State | None) -> str | None:
    return None if state is None else WORDS.get(state, WORDS[State.RUNNING])


def _reason(resource: str, operation: str, task_id: UUID | None) -> dict[str, Any]:
    kind, _, identity = resource.partition(":")
    shown = None if task_id is None else str(task_id)
    return {"resource_type": kind, "resource_id": identity, "operation": operation, "task_id": shown}
