"""Running a task again: what a client may change, and the submission that it becomes. Pure."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from pulp_events.errors import BadInput
from pulp_events.events import EMPTY_OBJECT, Name, Resource
from pulp_projections.reading.queries import OperationRow, TaskRow

from pulp_api.submitting.submission import Submission, arguments_of, checked, declared_resources, declared_tags

T = TypeVar("T", bound=Hashable)
_resources_of: Final = msgspec.json.Decoder(tuple[Resource, ...]).decode
_raw_by_name: Final = msgspec.json.Decoder(dict[str, Raw]).decode


class Rerun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to run a task again. What is left out is as it was in that task."""

    arguments: Raw = EMPTY_OBJECT
    """Those that change: each takes the place of the one with its name, and null removes it."""
    queue: Name | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=-1000, le=1000)] | UnsetType = UNSET
    timeout_seconds: Annotated[int, Meta(ge=1, le=315_360_000)] | UnsetType | None = UNSET
    """Null: no limit."""


def parse(body: bytes) -> Rerun:
    """An empty body changes nothing. Raises `BadInput`, which says what is wrong and where."""
    try:
        return msgspec.json.decode(body, type=Rerun) if body.strip() else Rerun()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the request to run the task again cannot be used: {error}") from error


def submission_of(task: TaskRow, change: Rerun, operation: OperationRow) -> Submission:
    """The task, submitted again with the change.

    Resources and tags follow the arguments where the operation's declaration gave them, and stay where the client
    named others. Dependencies, parent and group are not carried over: they tell what the first run waited for and
    belonged to. Raises `BadInput` for arguments that the operation cannot run with.
    """
    arguments = _changed(task.arguments, change)
    before, (after, _) = arguments_of(Raw(task.arguments.encode())), checked(arguments, operation)
    resources = _resources(_resources_of(task.resources), before, after, operation)
    return Submission(
        operation=task.operation,
        arguments=arguments,
        resources=resources,
        tags=_tags(task, before, after, resources, operation),
        queue=task.queue if change.queue is UNSET else change.queue,
        priority=task.priority if change.priority is UNSET else change.priority,
        timeout_seconds=task.timeout_seconds if change.timeout_seconds is UNSET else change.timeout_seconds,
    )


def _changed(text: str, change: Rerun) -> Raw:
    removed = {name for name, value in arguments_of(change.arguments).items() if value is None}
    merged = {**_raw_by_name(text), **_raw_by_name(change.arguments)}  # so that each stays as it was written
    return Raw(msgspec.json.encode({name: value for name, value in merged.items() if name not in removed}))


def _resources(
    used: Sequence[Resource], before: Mapping[str, Any], after: Mapping[str, Any], operation: OperationRow
) -> tuple[Resource, ...]:
    wanted = declared_resources(operation, after)
    kept = _exchanged(used, _declared_before(operation, before), wanted)
    # Without what is declared today the operation would refuse to run.
    return (*kept, *(item for item in wanted if item not in kept))


def _tags(
    task: TaskRow,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    resources: Sequence[Resource],
    operation: OperationRow,
) -> tuple[str, ...]:
    try:
        given = declared_tags(operation, before, _resources_of(task.resources))
    except BadInput:
        return tuple(task.tags)
    return tuple(_exchanged(task.tags, given, declared_tags(operation, after, resources)))


def _declared_before(operation: OperationRow, arguments: Mapping[str, Any]) -> Sequence[Resource]:
    try:
        return declared_resources(operation, arguments)
    except BadInput:
        return ()  # today's declaration needs what the first run did not have


def _exchanged(used: Sequence[T], given: Sequence[T], wanted: Sequence[T]) -> Sequence[T]:
    """`used` with what is wanted in place of what was given; as it is, if that is not all in it."""
    if not set(given) <= set(used):
        return used
    gone = set(given) - set(wanted)
    place = next((index for index, item in enumerate(used) if item in gone), len(used))
    kept = [item for item in used if item not in gone]
    return [*kept[:place], *(item for item in wanted if item not in used), *kept[place:]]
