"""The columns of the table `tasks`, each defined once.

`COLUMNS` is the only list of them. The table, the statements that write it, the statements that read it, and the
functions that turn a `Task` into a row and a row into a `Task` are all derived from it. To add a column, add a field to
`Task` and a line here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, LiteralString, NamedTuple, get_args

from msgspec.structs import fields
from pulp_events.events import Access, Resource
from pulp_events.task import Task

SqlType = Literal["uuid", "text", "integer", "bigint", "boolean", "timestamptz", "json", "text[]", "uuid[]"]
_TYPES_OF_FIELDS: Final = {field.name: field.type for field in fields(Task)}


def resource_keys(resources: Iterable[Resource], access: Access) -> tuple[str, ...]:
    """The keys (`TYPE:ID`) of the resources that are used with this access mode."""
    return tuple(resource.key for resource in resources if resource.access is access)


def _exclusive(resources: tuple[Resource, ...]) -> tuple[str, ...]:
    return resource_keys(resources, Access.EXCLUSIVE)


def _shared(resources: tuple[Resource, ...]) -> tuple[str, ...]:
    return resource_keys(resources, Access.SHARED)


class Column(NamedTuple):
    """One column, and the field of `Task` that it stores."""

    name: LiteralString
    type: SqlType
    field: str = ""
    """The field of `Task`, if its name differs from the column's."""
    changes: bool = False
    """Whether an event after the first can change the value."""
    is_distinct: bool = False
    """Whether nearly every task has a value of its own, so that caching its encoding is useless."""
    derive: Callable[[Any], Any] | None = None
    """Computes the value from the field. Such a column is not needed to restore the `Task`."""
    placeholder: LiteralString | None = None
    """The SQL value that a list shows in place of one that is too large; None: the value is never large."""
    default: LiteralString | None = None
    """The SQL value for rows written before the column existed."""

    @property
    def source(self) -> str:
        """The field of `Task` that the column stores."""
        return self.field or self.name

    @property
    def is_nullable(self) -> bool:
        """Whether the value can be NULL: whether the field can be None."""
        return type(None) in get_args(_TYPES_OF_FIELDS[self.source])

    @property
    def python_type(self) -> Any:
        """The type of the field, without None."""
        found = _TYPES_OF_FIELDS[self.source]
        return next(each for each in get_args(found) if each is not type(None)) if self.is_nullable else found


COLUMNS: Final[Sequence[Column]] = (
    Column("task_id", "uuid"),
    Column("state", "text", changes=True),
    Column("operation", "text"),
    Column("arguments", "json", placeholder="'null'"),
    Column("resources", "json", placeholder="'[]'"),  # [{"type", "id", "access"}] in the order of the request
    Column("exclusive_resources", "text[]", "resources", derive=_exclusive, placeholder="'{}'::text[]"),
    Column("shared_resources", "text[]", "resources", derive=_shared, placeholder="'{}'::text[]"),
    Column("tags", "text[]", placeholder="'{}'::text[]"),
    Column("queue", "text"),
    Column("priority", "integer"),
    Column("group_id", "uuid"),
    Column("parent_id", "uuid"),
    Column("depends_on", "uuid[]"),
    Column("timeout_seconds", "integer"),
    Column("created_by", "text"),
    Column("correlation_id", "text", is_distinct=True),
    Column("accepted_at", "timestamptz", "accepted_at_ms"),
    Column("updated_at", "timestamptz", "updated_at_ms", changes=True),
    Column("started_at", "timestamptz", "started_at_ms", changes=True),
    Column("cancel_requested_at", "timestamptz", "cancel_requested_at_ms", changes=True),
    Column("finished_at", "timestamptz", "finished_at_ms", changes=True),
    Column("partition", "integer"),
    Column("accepted_offset", "bigint"),
    Column("last_offset", "bigint", "offset", changes=True),
    Column("version", "integer", changes=True),
    Column("attempt", "integer", changes=True),
    Column("attempt_id", "uuid", changes=True),
    Column("worker", "text", changes=True),
    Column("cancellable", "boolean", changes=True),
    Column("sequence", "bigint", changes=True),
    Column("progress", "json", changes=True, placeholder="'{}'"),
    Column("result", "json", changes=True, placeholder="'null'"),
    Column(
        "error",
        "json",
        changes=True,
        is_distinct=True,
        placeholder=(
            "json_build_object('code', t.error ->> 'code', 'description', left(t.error ->> 'description', 500))::text"
        ),
    ),
    Column("purged_at", "timestamptz", "purged_at_ms", changes=True),
    Column("purged_by", "text", changes=True),
    Column("retry", "json"),
    Column("deadline_seconds", "integer"),
    Column("failed_attempts", "integer", changes=True, default="0"),
    Column("retry_at", "timestamptz", "retry_at_ms", changes=True),
)
_KEY: Final = COLUMNS[0]
_EXTERNAL: Final = ("json", "text[]", "uuid[]")
"""Types whose values can be large: stored uncompressed, so that their size is known without reading them."""


def changing(columns: Sequence[Column]) -> list[Column]:
    """The key, and the columns that can change."""
    return [column for column in columns if column is _KEY or column.changes]


def for_copy(columns: Sequence[Column]) -> list[Column]:
    """The columns in the order in which COPY gets them: those of fixed length first, to be packed in one step."""
    return sorted(columns, key=lambda column: not has_fixed_length(column))


def has_fixed_length(column: Column) -> bool:
    """Whether all values of the column have the same length."""
    return not column.is_nullable and column.type in ("uuid", "integer", "bigint", "boolean", "timestamptz")


def selected(column: Column) -> LiteralString:
    """The expression that reads the column of `tasks t`, as `stored_tasks` decodes it: JSON as text, times in ms."""
    if column.type == "json":
        return "t." + column.name + "::text"
    if column.type == "timestamptz":
        # `extract` computes with `numeric`, which takes longer; a double is exact to the millisecond for all times.
        return "(date_part('epoch', t." + column.name + ") * 1000)::bigint as " + column.name
    return "t." + column.name


def compiled(parameter: str, expression: str, names: Mapping[str, object]) -> Callable[[Any], Any]:
    """The function for an expression made from the columns: as fast as if written by hand."""
    function: Callable[[Any], Any] = eval(f"lambda {parameter}: {expression}", dict(names))
    return function


def sql_lists(columns: Sequence[Column] = COLUMNS) -> Mapping[str, LiteralString]:
    """The lists of columns in SQL statements, by the placeholder that stands for them in `.sql` files."""
    rest = changing(columns)
    return {
        "task_definitions": _joined(_definition(column) for column in columns),
        "task_storage": _joined(f"alter {c.name} set storage external" for c in columns if c.type in _EXTERNAL),
        "task_copy_names": _joined(column.name for column in for_copy(columns)),
        "task_names": _joined(column.name for column in columns),
        "task_values": _joined(_value(column) for column in columns),
        "task_selection": _joined(selected(column) for column in columns),
        "task_fields": _joined(selected(column) for column in columns if column.derive is None),
        "changing_definitions": _joined(_definition(column) for column in for_copy(rest)),
        "changing_types": _joined(f"{column.name} {column.type}" for column in rest),
        "changing_assignments": _joined(f"{c.name} = {_value(c)}" for c in rest if c is not _KEY),
        "task_changed": _joined(f"{_value(c) if c.changes else 't.' + c.name} as {c.name}" for c in columns),
    }


def _definition(column: Column) -> str:
    default = "" if column.default is None else f" default {column.default}"
    return f"{column.name} {column.type}{'' if column.is_nullable else ' not null'}{default}"


def _value(column: Column) -> str:
    # A recordset has SQL's NULL where its JSON has null, also for a column that holds JSON.
    is_json = column.type == "json" and not column.is_nullable
    return f"coalesce(c.{column.name}, 'null')" if is_json else f"c.{column.name}"


def _joined(parts: Iterable[str]) -> LiteralString:
    return ",".join(parts)  # without blanks, since the statement for small batches is near psycopg's limit (see sql.py)


SQL_LISTS: Final = sql_lists()
