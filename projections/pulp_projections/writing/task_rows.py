"""Rows for COPY: tasks, changes of tasks, the resources that they use, and their causes."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from struct import Struct
from typing import Any, Final

import msgspec
from msgspec import Raw
from pulp_events.events import Resource
from pulp_events.task import Task

from pulp_projections.task_columns import COLUMNS, Column, SqlType, changing, compiled, for_copy, has_fixed_length
from pulp_projections.writing import binary_copy as field
from pulp_projections.writing.fold import Cause
from pulp_projections.writing.uses import uses

_json: Final = msgspec.json.Encoder().encode
_cached: Final = lru_cache(maxsize=256)


def _json_field(value: object) -> bytes:
    return field.NULL if value is None else field.data(_json(value))


_FIXED: Final[dict[SqlType, tuple[str, str]]] = {
    "uuid": ("16s", "{}.int.to_bytes(16)"),
    "integer": ("i", "{}"),
    "bigint": ("q", "{}"),
    "boolean": ("?", "{}"),
    "timestamptz": ("q", "microseconds({})"),
}
"""For the types whose values all have one length: the format for `struct`, and the expression for the packed value."""
_ENCODERS: Final[dict[SqlType, Callable[[Any], bytes]]] = {
    "uuid": field.uuid,
    "text": field.text,
    "integer": field.integer,
    "bigint": field.bigint,
    "boolean": field.boolean,
    "timestamptz": field.time,
    "json": _json_field,
    "text[]": field.texts,
    "uuid[]": field.uuids,
}
"""For the values that can be null or differ in length."""


def row_encoder(columns: Sequence[Column]) -> Callable[[Task], bytes]:
    """The function that turns a task into a row for COPY, with the columns in the order of `for_copy`.

    It packs all values of fixed length in one step. Columns that are derived from the same field must be adjacent.
    """
    fixed = [column for column in columns if has_fixed_length(column)]
    others = [column for column in for_copy(columns) if not has_fixed_length(column)]
    formats = [_FIXED[column.type][0] for column in fixed]
    packed = [
        f"{Struct(f'>{code}').size}, {_FIXED[column.type][1].format(f'task.{column.source}')}"
        for code, column in zip(formats, fixed, strict=True)
    ]
    encoders = {source: _encoder(list(group)) for source, group in groupby(others, lambda column: column.source)}
    fields = [f"pack({len(columns)}, {', '.join(packed)})", *(f"{source}(task.{source})" for source in encoders)]
    names: dict[str, object] = {
        "pack": Struct(">h" + "".join(f"i{code}" for code in formats)).pack,
        "microseconds": _cached(field.microseconds),
        "join": b"".join,
        **encoders,
    }
    return compiled("task", f"join(({', '.join(fields)}))", names)


def _encoder(columns: Sequence[Column]) -> Callable[[Any], bytes]:
    """The function that turns the value of one field of a task into the columns that are derived from it."""
    [column, *derived] = columns
    if column.python_type is Raw:
        return field.data
    if column.is_distinct:
        return field.distinct_text if column.type == "text" else _ENCODERS[column.type]
    if derived:
        return _cached(lambda value: b"".join([_derived(each, value) for each in columns]))
    encode = _ENCODERS[column.type]
    return _cached(encode) if column.type in ("json", "text[]", "uuid[]") else encode


def _derived(column: Column, value: Any) -> bytes:
    return _ENCODERS[column.type](value if column.derive is None else column.derive(value))


_whole: Final = row_encoder(COLUMNS)
_changed: Final = row_encoder(changing(COLUMNS))


def created(tasks: Iterable[Task]) -> bytes:
    """The whole input of COPY for `copy_tasks`."""
    return field.table(map(_whole, tasks))


def changed(tasks: Iterable[Task]) -> bytes:
    """The whole input of COPY for `copy_changed`."""
    return field.table(map(_changed, tasks))


def resources(tasks: Iterable[Task]) -> bytes:
    """The whole input of COPY for `copy_resources`. A task without resources has no row."""
    return field.table(
        use + field.time(task.accepted_at_ms) + field.uuid(task.task_id)
        for task in tasks
        for use in _uses(task.resources)
    )


def causes(pairs: Iterable[Cause]) -> bytes:
    """The whole input of COPY for `copy_causes`."""
    return field.table(field.row((field.uuid(pair.task_id), field.uuid(pair.cause))) for pair in pairs)


@_cached
def _uses(resources: tuple[Resource, ...]) -> Sequence[bytes]:
    """The first two fields of each row of `task_resources`."""
    later = b""  # in place of the two fields that differ from task to task
    return [
        field.row((field.text(use.resource), field.data(use.access.encode()), later, later)) for use in uses(resources)
    ]
