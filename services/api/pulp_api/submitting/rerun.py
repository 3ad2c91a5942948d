"""Running a task again: what a client may change, and the resulting submission. Pure."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from pulp_events.errors import BadInput
from pulp_events.events import EMPTY_OBJECT, Name, Resource, TimeLimit
from pulp_projections.reading.queries import OperationRow, TaskRow

from pulp_api.bodies import check_names, decoded
from pulp_api.submitting.submission import Submission, arguments_of, checked, declared_resources, declared_tags

T = TypeVar("T", bound=Hashable)
_raw_by_name: Final = msgspec.json.Decoder(dict[str, Raw]).decode


class Rerun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to run a task again. Fields that are left out stay as in that task."""

    arguments: Raw = EMPTY_OBJECT
    """The arguments that change: each replaces the one of its name, and null removes it."""
    queue: Name | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=-1000, le=1000)] | UnsetType = UNSET
    timeout_seconds: TimeLimit | UnsetType | None = UNSET
    """Null: no limit."""


def parse(body: bytes) -> Rerun:
    """An empty body changes nothing. Raises `BadInput`, which says what is wrong and where."""
    if not body.strip():
        return Rerun()
    what = "the request to run the task again"
    found = decoded(body, Rerun, what)
    check_names(what, [("queue", found.queue)])
    return found


def submission_of(task: TaskRow, change: Rerun, operation: OperationRow) -> Submission:
    """The task, submitted again with the change.

    Resources and tags follow the new arguments if they came from the operation's declaration, and stay if the client
    named others. Dependencies, parent and group are not carried over: they describe the first run. Raises `BadInput`
    for arguments that the operation cannot run with.
    """
    arguments = _changed(task.arguments, change)
    before, (after, _) = arguments_of(task.arguments), checked(arguments, operation)
    resources = _resources(task.resources, before, after, operation)
    return Submission(
        operation=task.operation,
        arguments=arguments,
        resources=resources,
        tags=_tags(task, before, after, resources, operation),
        queue=task.queue if change.queue is UNSET else change.queue,
        priority=task.priority if change.priority is UNSET else change.priority,
        timeout_seconds=task.timeout_seconds if change.timeout_seconds is UNSET else change.timeout_seconds,
        retry=task.retry,
        deadline_seconds=task.deadline_seconds,
    )


def _changed(text: Raw, change: Rerun) -> Raw:
    removed = {name for name, value in arguments_of(change.arguments).items() if value is None}
    merged = {**_raw_by_name(text), **_raw_by_name(change.arguments)}  # keeps the text of each value
    return Raw(msgspec.json.encode({name: value for name, value in merged.items() if name not in removed}))


def _resources(
    used: Sequence[Resource], before: Mapping[str, Any], after: Mapping[str, Any], operation: OperationRow
) -> tuple[Resource, ...]:
    wanted = declared_resources(operation, after)
    kept = _exchanged(used, _declared_before(operation, before), wanted)
    # The operation refuses to run without the resources that it declares now.
    return (*kept, *(item for item in wanted if item not in kept))


def _tags(
    task: TaskRow,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    resources: Sequence[Resource],
    operation: OperationRow,
) -> tuple[str, ...]:
    try:
        given = declared_tags(operation, before, task.resources)
    except BadInput:
        return task.tags
    return tuple(_exchanged(task.tags, given, declared_tags(operation, after, resources)))


def _declared_before(operation: OperationRow, arguments: Mapping[str, Any]) -> Sequence[Resource]:
    try:
        return declared_resources(operation, arguments)
    except BadInput:
        return ()  # the present declaration needs an argument that the first run did not have


def _exchanged(used: Sequence[T], given: Sequence[T], wanted: Sequence[T]) -> Sequence[T]:
    """`used` with `wanted` in place of `given`; unchanged unless it contains all of `given`."""
    if not set(given) <= set(used):
        return used
    gone = set(given) - set(wanted)
    place = next((index for index, item in enumerate(used) if item in gone), len(used))
    kept = [item for item in used if item not in gone]
    return [*kept[:place], *(item for item in wanted if item not in used), *kept[place:]]
