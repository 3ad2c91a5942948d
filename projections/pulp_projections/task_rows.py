"""Rows of tasks for COPY: whole ones, what may change in one, and those of its resources.

Their columns: `store.sql`, in the same order.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec
from pulp_events.events import Access, Resource
from pulp_events.task import Task

from pulp_projections import binary_copy as field
from pulp_projections.uses import uses

_json = msgspec.json.Encoder().encode
_texts: Final = lru_cache(maxsize=256)(field.texts)


def created(tasks: Iterable[Task]) -> bytes:
    """All that COPY expects, for `copy_tasks`."""
    return field.table(field.row((*_changing(task), *_lasting(task))) for task in tasks)


def changed(tasks: Iterable[Task]) -> bytes:
    """All that COPY expects, for `copy_changed`."""
    return field.table(field.row(_changing(task)) for task in tasks)


def resources(tasks: Iterable[Task]) -> bytes:
    """All that COPY expects, for `copy_resources`: none of a task without resources."""
    return field.table(
        use + field.time(task.accepted_at_ms) + field.uuid(task.task_id)
        for task in tasks
        for use in _uses(task.resources)
    )


def _changing(task: Task) -> tuple[bytes, ...]:
    return (
        field.uuid(task.task_id),
        field.text(task.state),
        field.time(task.updated_at_ms),
        field.time(task.started_at_ms),
        field.time(task.cancel_requested_at_ms),
        field.time(task.finished_at_ms),
        field.bigint(task.offset),
        field.integer(task.version),
        field.integer(task.attempt),
        field.uuid(task.attempt_id),
        field.text(task.worker),
        field.boolean(task.cancellable),
        field.bigint(task.sequence),
        field.data(bytes(task.progress)),
        field.data(bytes(task.result)),
        field.data(None if task.error is None else _json(task.error)),
    )


def _lasting(task: Task) -> tuple[bytes, ...]:
    return (
        field.text(task.operation),
        field.data(bytes(task.arguments)),
        *_resources(task.resources),
        _texts(task.tags),
        field.text(task.queue),
        field.integer(task.priority),
        field.uuid(task.group_id),
        field.uuid(task.parent_id),
        field.uuids(task.depends_on),
        field.integer(task.timeout_seconds),
        field.text(task.created_by),
        field.data(None if task.correlation_id is None else task.correlation_id.encode()),
        field.time(task.accepted_at_ms),
        field.integer(task.partition),
        field.bigint(task.accepted_offset),
    )


@lru_cache(maxsize=256)  # many tasks use the same
def _resources(resources: tuple[Resource, ...]) -> tuple[bytes, bytes, bytes]:
    return (
        field.data(_json(resources)),
        field.texts(resource.key for resource in resources if resource.access is Access.EXCLUSIVE),
        field.texts(resource.key for resource in resources if resource.access is Access.SHARED),
    )


@lru_cache(maxsize=256)
def _uses(resources: tuple[Resource, ...]) -> Sequence[bytes]:
    """The beginnings of the rows."""
    nothing = b""  # in place of what is the task's own
    return [
        field.row((field.text(use.resource), field.data(use.access.encode()), nothing, nothing))
        for use in uses(resources)
    ]
