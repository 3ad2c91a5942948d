"""Submissions: what a client may request, and the resulting `accepted` event. Pure."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from pulp_events.errors import BadInput
from pulp_events.events import EMPTY_OBJECT, Accepted, Access, Name, Resource, Retry, Tag, TimeLimit
from pulp_events.plain_words import REFUSALS, not_json
from pulp_projections.reading.queries import OperationRow, TaskRow

from pulp_api.bodies import check_names, decoded, names_of_task
from pulp_api.submitting.arguments import Checker, checker, did_you_mean
from pulp_api.submitting.json_numbers import check_numbers
from pulp_api.submitting.personal import refuse_reserved

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_raw_by_name: Final = msgspec.json.Decoder(dict[str, Raw]).decode
MOST_TAGS: Final = 100
"""The most tags of an event."""
_HREF: Final = re.compile(r"(?:/pulp/api/v[23]/tasks/)?([0-9a-fA-F-]{36})/?")


class ArgumentsTooLarge(BadInput):
    """The arguments have more bytes than a task may have."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the arguments have {size_bytes} bytes, a task takes at most {limit_bytes}: put large data where the"
            " operation can fetch it, and submit its address (the limit is the API's PULP_API_MAX_ARGUMENT_BYTES)"
        )


class Submission(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a submission. What is left out comes from the operation's declaration."""

    operation: Name
    arguments: Raw = EMPTY_OBJECT
    resources: Annotated[tuple[Resource, ...], Meta(max_length=100)] | None = None
    tags: Annotated[tuple[Tag, ...], Meta(max_length=100)] | None = None
    queue: Name = "default"
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    group_id: UUID | None = None
    parent_task: str | None = None
    depends_on: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    timeout_seconds: TimeLimit | None = None
    """For one attempt."""
    retry: Retry | UnsetType | None = UNSET
    """Null: a failure ends the task."""
    deadline_seconds: TimeLimit | UnsetType | None = UNSET
    """For all attempts together; null: no limit."""


def parse(body: bytes) -> Submission:
    """Raises `BadInput`, which says what is wrong and where."""
    what = "the submission"
    found = decoded(body, Submission, what)
    check_names(what, [("queue", found.queue), *names_of_task(found.resources, found.tags)])
    return found


class Draft(NamedTuple):
    """A submission with valid arguments; remembered arguments may be missing."""

    submission: Submission
    operation: OperationRow
    arguments: Mapping[str, Any]
    left_out: tuple[str, ...]
    """Remembered arguments that are missing."""
    options: Mapping[str, Any] = {}
    """Arguments that are missing, as the repository has them."""

    @property
    def resource(self) -> str | None:
        """The resource (`TYPE:ID`) whose earlier tasks count: the operation's first exclusive one."""
        arguments = _with_defaults(self.operation, self.arguments)
        for item in self.operation.resources:
            if item["access"] == Access.EXCLUSIVE and _is_used(item["id"], self.operation, arguments):
                return f"{item['type']}:{_fill(item['id'], arguments, self.operation.name)}"
        return None

    @property
    def checker(self) -> Checker | None:
        """The checker of its arguments; None if the operation declares none."""
        return checker_of(self.operation)


def check_size(submission: Submission, limit_bytes: int) -> None:
    """Raises `ArgumentsTooLarge`."""
    size = len(bytes(submission.arguments))
    if size > limit_bytes:
        raise ArgumentsTooLarge(size, limit_bytes)


def drafted(submission: Submission, operation: OperationRow) -> Draft:
    """Check a submission. Raises `InvalidArguments`, or `BadInput` for arguments that are not a JSON object."""
    return Draft(submission, operation, *checked(submission.arguments, operation))


def checked(text: Raw, operation: OperationRow) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments, and the names of missing remembered ones. Raises the errors of `drafted`."""
    arguments = arguments_of(text)
    check_numbers(bytes(text), "arguments")
    refuse_reserved(arguments)
    by = checker_of(operation)
    if by is None:
        return arguments, ()
    try:
        # If two values have the same name, only the last is checked, but the log would keep both.
        json.loads(bytes(text), object_pairs_hook=_without_repetition)
        return arguments, by.check(arguments)
    except RecursionError:
        raise BadInput("arguments cannot be used: objects and arrays are nested too deep") from None


def accepted(draft: Draft, remembered: Mapping[str, Any] | None = None) -> Accepted:
    """The event's data, completed with the repository's and the remembered arguments.

    Raises `BadInput` for an argument that a resource lacks.
    """
    submission, operation = draft.submission, draft.operation
    added = {**draft.options, **(remembered or {})}
    arguments = {**draft.arguments, **added}
    resources = submission.resources
    if resources is None:
        resources = declared_resources(operation, arguments)
    tags = submission.tags
    if tags is None:
        tags = declared_tags(operation, arguments, resources)
    retry = operation.retry if submission.retry is UNSET else submission.retry
    deadline = operation.deadline_seconds if submission.deadline_seconds is UNSET else submission.deadline_seconds
    return Accepted(
        operation=operation.name,
        arguments=_with(submission.arguments, added),
        resources=resources,
        tags=tags,
        queue=submission.queue,
        priority=submission.priority,
        group_id=submission.group_id,
        parent_id=None if submission.parent_task is None else task_id_of(submission.parent_task),
        depends_on=tuple(task_id_of(text) for text in submission.depends_on),
        timeout_seconds=submission.timeout_seconds,
        retry=UNSET if retry is None or not retry.retries else retry,
        deadline_seconds=UNSET if deadline is None else deadline,
    )


def declared_resources(operation: OperationRow, arguments: Mapping[str, Any]) -> tuple[Resource, ...]:
    """What the operation uses with these arguments, without resources whose optional argument is left out.

    An argument that is left out has its default. Raises `BadInput` for one that is missing.
    """
    arguments = _with_defaults(operation, arguments)
    return tuple(
        Resource(type=item["type"], id=_fill(item["id"], arguments, operation.name), access=Access(item["access"]))
        for item in operation.resources
        if _is_used(item["id"], operation, arguments)
    )


def declared_tags(
    operation: OperationRow, arguments: Mapping[str, Any], resources: Sequence[Resource]
) -> tuple[str, ...]:
    """The tags of a task that names none; as with resources. Raises `BadInput` for an argument that is missing."""
    if operation.tags is not None:
        arguments = _with_defaults(operation, arguments)
        used = (tag for tag in operation.tags if _is_used(tag, operation, arguments))
        return tuple(_fill(tag, arguments, operation.name) for tag in used)
    exclusive = (item for item in resources if item.access is Access.EXCLUSIVE)
    tags = dict.fromkeys(f"pulp:{item.key}" for item in exclusive)
    # Tags that the client did not ask for must not exceed the limit; tasks can be found by resource as well.
    return (*islice(tags, MOST_TAGS - 1), f"pulp:action:{operation.name}")


def warnings_of(submission: Submission, operation: OperationRow) -> list[str]:
    """Why no live worker can run the task now. It is accepted nevertheless, and waits."""
    name, queue = operation.name, submission.queue
    if not operation.workers:
        return [f"no live worker offers operation {name!r}: the task waits until one does"]
    queues = sorted({each for worker in operation.workers for each in worker["queues"]})
    if queue not in queues:
        served = ", ".join(queues)
        return [
            f"no live worker that offers {name!r} serves queue {queue!r}{did_you_mean(queue, queues)}"
            f" (served: {served}): the task waits until one does"
        ]
    return []


def task_id_of(text: str) -> UUID:
    """The id in a UUID or in a task's href. Raises `BadInput`."""
    match = _HREF.fullmatch(text.strip())
    try:
        return UUID(match[1] if match else text)
    except ValueError:
        raise BadInput(f"{text!r} is neither a task's UUID nor its href") from None


def is_same(data: Accepted, task: TaskRow, unknown: Collection[str] = ()) -> bool:
    """Whether a task was made by a submission like this one, as far as is known: `unknown` arguments may differ."""
    return (
        data.operation == task.operation
        and _without(data.arguments, unknown) == _without(task.arguments, unknown)
        and data.resources == task.resources
        and data.tags == task.tags
        and (data.queue, data.priority, data.group_id, data.parent_id, data.timeout_seconds)
        == (task.queue, task.priority, task.group_id, task.parent_id, task.timeout_seconds)
        and data.depends_on == task.depends_on
        and (data.retry or None, data.deadline_seconds or None) == (task.retry, task.deadline_seconds)
    )


def _without(arguments: Raw, names: Collection[str]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(arguments)
    return {name: value for name, value in found.items() if name not in names}


def checker_of(operation: OperationRow) -> Checker | None:
    """The checker of an operation's arguments; None if it declares none."""
    return None if operation.arguments is None else checker(operation.name, operation.arguments)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadInput("arguments cannot be used: an object has two values with the same name")
    return found


def _with(arguments: Raw, more: Mapping[str, Any]) -> Raw:
    """The arguments with some added; the given ones keep their exact text."""
    if not more:
        return Raw(bytes(arguments))
    return Raw(msgspec.json.encode({**_raw_by_name(arguments), **more}))


def arguments_of(text: Raw) -> dict[str, Any]:
    """The arguments by name. Raises `BadInput` if they are not a JSON object."""
    try:
        arguments = msgspec.json.decode(text)
    except REFUSALS as error:
        raise BadInput(f"arguments are not JSON: {not_json(error)}") from error
    if not isinstance(arguments, dict):
        raise BadInput("arguments must be a JSON object, such as {}")
    return arguments


def _with_defaults(operation: OperationRow, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments as the operation will get them, but for those that are null."""
    by = checker_of(operation)
    return arguments if by is None or by.defaults.keys() <= arguments.keys() else {**by.defaults, **arguments}


def _is_used(text: str, operation: OperationRow, arguments: Mapping[str, Any]) -> bool:
    """Whether every optional argument in braces is given and not null."""
    left_out = [name for name in _PLACEHOLDER.findall(text) if arguments.get(name) is None]
    by = checker_of(operation) if left_out else None
    return by is None or by.optional.isdisjoint(left_out)


def _fill(text: str, arguments: Mapping[str, Any], operation: str) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        value = arguments.get(name)
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise BadInput(f"operation {operation} needs the argument {name!r}, a text or a whole number")
        return str(value)

    return _PLACEHOLDER.sub(value_of, text)
