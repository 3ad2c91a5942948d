"""Which events a subscription wants. Pure."""

from typing import NamedTuple
from uuid import UUID

from pulp_events.webhook_events import Wanted
from pulp_projections.webhooks.delivering import TaskFacts


class EventFacts(NamedTuple):
    """What an event itself says."""

    event_id: UUID
    type: str
    actor: str
    task_id: UUID


def may_want(wanted: Wanted, event: EventFacts) -> bool:
    """Whether what the event itself says is allowed; its task is another question."""
    return (
        (not wanted.types or event.type in wanted.types)
        and (not wanted.actors or event.actor in wanted.actors)
        and (not wanted.tasks or event.task_id in wanted.tasks)
    )


def asks_for_task(wanted: Wanted) -> bool:
    """Whether it depends on the task."""
    return bool(wanted.operations or wanted.resources or wanted.groups)


def wants_task(wanted: Wanted, task: TaskFacts) -> bool:
    """Whether what is known about the task is allowed."""
    return (
        (not wanted.operations or task.operation in wanted.operations)
        and (not wanted.groups or task.group_id in wanted.groups)
        and (not wanted.resources or not set(wanted.resources).isdisjoint(task.resources))
    )
