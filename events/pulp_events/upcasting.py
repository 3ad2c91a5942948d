"""Earlier versions of events, which stay in the log for ever, and their conversion to today's classes. Pure.

Versions in this module never change. For a change that readers would notice, copy the event's class here, write the
function that converts it to today's class, and enter both in `UPCASTERS`.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, final
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from pulp_events.events import (
    EMPTY_OBJECT,
    Accepted,
    CancelRequested,
    Data,
    Name,
    Object,
    Resource,
    Retry,
    Tag,
    TimeLimit,
    shown,
)


@final
class AcceptedV1(Struct, frozen=True, kw_only=True, gc=False):
    """A request for work was accepted: the task exists, and waits. Version 1, which does not say how it was asked."""

    operation: Name
    arguments: Object = EMPTY_OBJECT
    resources: Annotated[tuple[Resource, ...], Meta(max_length=100)] = ()
    tags: Annotated[tuple[Tag, ...], Meta(max_length=100)] = ()
    queue: Name = "default"
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    """Higher runs first, among tasks that do not conflict."""
    group_id: UUID | None = None
    parent_id: UUID | None = None
    depends_on: Annotated[tuple[UUID, ...], Meta(max_length=100)] = ()
    """The task starts after all of these have succeeded; if one ends otherwise, it is skipped."""
    timeout_seconds: TimeLimit | None = None
    """How long one attempt may take."""
    retry: Retry | UnsetType | None = UNSET
    """Without it a failure ends the task."""
    deadline_seconds: TimeLimit | UnsetType | None = UNSET
    """How long all attempts may take together with the waits before them, from the acceptance."""

    __repr__ = shown


@final
class CancelRequestedV1(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody wants the task to stop. Version 1, which does not say how it was asked."""

    reason: Annotated[str, Meta(max_length=1024)] | None = None


def accepted_from_v1(data: AcceptedV1) -> Accepted:
    """Version 1 as today's class: nothing is known of the request."""
    return Accepted(
        operation=data.operation,
        arguments=data.arguments,
        resources=data.resources,
        tags=data.tags,
        queue=data.queue,
        priority=data.priority,
        group_id=data.group_id,
        parent_id=data.parent_id,
        depends_on=data.depends_on,
        timeout_seconds=data.timeout_seconds,
        retry=data.retry,
        deadline_seconds=data.deadline_seconds,
    )


def cancel_requested_from_v1(data: CancelRequestedV1) -> CancelRequested:
    """Version 1 as today's class: nothing is known of the request."""
    return CancelRequested(reason=data.reason)


UPCASTERS: Final[Mapping[type[Struct], Callable[[Any], Data]]] = {
    AcceptedV1: accepted_from_v1,
    CancelRequestedV1: cancel_requested_from_v1,
}
"""An earlier version → the function that makes today's class of it."""
