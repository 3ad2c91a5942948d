"""What tasks wait for, and why they were skipped, in the form of Pulp 2."""

from collections.abc import Sequence, Set
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.task import State
from pulp_projections.reading.queries import TaskRow, states_of
from pulp_projections.reading.waiting import Postponed, postponed

from pulp_api.authenticated_call import AuthenticatedCall
from pulp_api.v2.report import Waits
from pulp_api.v2.words import WORDS

_EXCLUSIVE, _SHARED = "update", "read"
"""Pulp 2's words for how another task uses a resource."""
_EXPECTED: Final = [WORDS[State.SUCCESSFUL]]


async def waits_of(connection: AsyncConnection, call: AuthenticatedCall, tasks: Sequence[TaskRow]) -> dict[UUID, Waits]:
    """What those of the tasks that wait, wait for, and why those that were skipped were; of the others nothing.

    As the user may know it.
    """
    waiting = [task.task_id for task in tasks if task.state == State.WAITING]
    found = await postponed(connection, waiting, unserved_s=call.service.unserved_s) if waiting else {}
    hidden = await call.hidden(connection, {named for each in found.values() for named in each.named()})
    failures = await _failures_of(connection, call, tasks)
    return {
        task.task_id: Waits(
            reasons_of(found[task.task_id], hidden) if task.task_id in found else (), failures.get(task.task_id, {})
        )
        for task in tasks
    }


def reasons_of(found: Postponed, hidden: Set[UUID] = frozenset()) -> list[dict[str, Any]]:
    """The tasks that a waiting task waits for, and what for; null for tasks that the reader may not see. Pure."""

    def reason(resource: str, operation: str, task_id: UUID) -> dict[str, Any]:
        return _reason(resource, operation, None if task_id in hidden else task_id)

    reasons = [reason(held.resource, _EXCLUSIVE if held.is_exclusive else _SHARED, held.task_id) for held in found.held]
    reasons = [
        each for place, each in enumerate(reasons) if each not in reasons[:place]
    ]  # the number of hidden ones is not disclosed
    if found.is_claimed:
        return reasons
    if found.ahead is not None:
        reasons.append(reason(found.ahead.resource, _EXCLUSIVE, found.ahead.task_id))
    reasons += [reason(f"task:{unmet.task_id}", _EXCLUSIVE, unmet.task_id) for unmet in found.unmet]
    return reasons


async def _failures_of(
    connection: AsyncConnection, call: AuthenticatedCall, tasks: Sequence[TaskRow]
) -> dict[UUID, dict[str, Any]]:
    """The dependencies of each skipped task that did not succeed, by id.

    `actual` is null for one that is unknown, or that the user may not see.
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
