"""Lists of tasks with a bounded size in bytes: Postgres leaves out values that do not fit on a page.

A page always has all of its rows, so that paging by limit and offset stays right. Each task has an equal share of the
page's bytes; a task that needs more lacks its large values, and names them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, LiteralString

from psycopg import AsyncConnection

from pulp_projections.reading.queries import (
    SHOWN_PARENT,
    Condition,
    TaskReading,
    TaskRow,
    parameters_of,
    reading_of,
    rows_of,
)
from pulp_projections.stored_tasks import decoder
from pulp_projections.task_columns import COLUMNS, selected

if TYPE_CHECKING:
    from pulp_projections.reading.as_of import Past

PAGE_BYTES: Final = 2 * 1024 * 1024
"""The most bytes, as stored, that the values of `WIDE` columns may have on a page."""
DEEP: Final = 1000
"""From this offset on, only the ids of skipped tasks are read."""
_PART: Final = 8
"""If a task needs more than its share, each value above this fraction of the share is left out."""
_CHILD_BYTES: Final = 128
"""The size of a child in an answer."""

WIDE: Final[Mapping[str, LiteralString]] = {
    **{column.name: column.placeholder for column in COLUMNS if column.placeholder is not None},
    "children": "'{}'::uuid[]",
}
"""The values that may be large, and the replacement for one that a list leaves out."""
EVERYTHING: Final = frozenset(WIDE)
_RESERVED: Final = frozenset({"exclusive_resources", "shared_resources"})
_NULLABLE: Final = frozenset(column.name for column in COLUMNS if column.is_nullable)
_SELECTED: Final = {column.name: selected(column) for column in COLUMNS}
_NAMES: Final = (*_SELECTED, "children")

row_of: Final = decoder(TaskRow, COLUMNS, "children", "omitted")
"""The task of a row that `tasks_sql` reads."""


async def tasks(
    connection: AsyncConnection,
    conditions: Sequence[Condition],
    *,
    order: LiteralString,
    limit: int,
    offset: int = 0,
    wanted: frozenset[str] = EVERYTHING,
    past: "Past | None" = None,
) -> list[TaskRow]:
    """The tasks for which every condition holds, with the wanted columns of `WIDE`; with `past` as they were."""
    if past is not None:
        every = reading_of(conditions, order)
        ids = await past.first(connection, every, parameters_of(conditions), limit + offset)
        # From here on only the parameters of the conditions are needed, and those of the order.
        conditions = [Condition("t.task_id = any (%(past_ids)s)", {**parameters_of(conditions), "past_ids": ids})]
        order = every.task_order
    reading = behind(reading_of(conditions, order), offset)
    statement: LiteralString = "select " + tasks_sql(reading, limit, wanted)
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    return [row_of(row) for row in await rows_of(connection, statement, values, past)]


def behind(reading: TaskReading, offset: int) -> TaskReading:
    """The reading for a page after `offset` tasks: if they are many, only their ids are read, from an index.

    Postgres computes all columns of the rows that it skips.
    """
    if offset < DEEP:
        return reading
    page = f"order by {reading.order} limit %(limit)s offset %(skip)s"
    ids = f"(select t.task_id from {reading.source}{reading.where} {page})"
    return TaskReading(
        f"{ids} k join tasks t using (task_id)", "", reading.task_order, reading.task_order, has_skipped=True
    )


@lru_cache(maxsize=256)
def tasks_sql(reading: TaskReading, limit: int, wanted: frozenset[str]) -> LiteralString:
    """The query for `row_of`, without `select`. Its parameters `limit` and `skip` choose the page.

    Sizes are known without reading the values: large ones are stored outside the row, uncompressed (see
    read_model.sql). The rows keep the order of the subselect.
    """
    share = PAGE_BYTES // max(1, limit)
    children = share // _CHILD_BYTES
    inner = [_inner(name, wanted, children) for name in _NAMES]
    # Both contain the keys of the resources, which count once.
    counted = wanted - {"children"} - (_RESERVED if "resources" in wanted else frozenset())
    sizes = [_size(name) for name in sorted(counted)]
    outer = [_outer(name, wanted, share, children) for name in _NAMES]
    return (
        f"{', '.join(outer)}, {_omitted(wanted, share, children)} as omitted"
        f" from (select {', '.join(inner)}, {' + '.join(sizes) or '0'} as wide from {reading.source}{reading.where}"
        f" order by {reading.order} limit %(limit)s offset {'0' if reading.has_skipped else '%(skip)s'}) t"
    )


def _inner(name: str, wanted: frozenset[str], children: int) -> str:
    if name in WIDE and name not in wanted:
        return f"null as {name}"
    if name == "parent_id":
        return SHOWN_PARENT
    if name == "children":
        return (
            "array(select c.task_id from tasks c where c.parent_id = t.task_id and c.purged_at is null"
            f" order by c.accepted_at, c.task_id limit {children + 1}) as children"
        )
    return f"t.{name}"


def _outer(name: str, wanted: frozenset[str], share: int, children: int) -> str:
    if name not in WIDE:
        return _SELECTED[name]
    if name not in wanted:
        return f"{'null' if name in _NULLABLE else WIDE[name]} as {name}"
    if name == "children":
        return "t.children"
    is_small = f"t.wide <= {share} or {_size(name)} <= {share // _PART}"
    return f"case when {is_small} then {_SELECTED[name]} else {WIDE[name]} end as {name}"


def _omitted(wanted: frozenset[str], share: int, children: int) -> str:
    large = [f"case when {_size(name)} > {share // _PART} then '{name}' end" for name in sorted(wanted - {"children"})]
    many = [f"case when cardinality(t.children) > {children} then 'children' end"] if "children" in wanted else []
    few = [f"cardinality(t.children) <= {children}"] if many else []
    found = [f"case when t.wide > {share} then {each} end" for each in large] + many
    if not found:
        return "null"
    return (
        f"case when {' and '.join([f't.wide <= {share}', *few])} then null"
        f" else nullif(array_remove(array[{', '.join(found)}], null), '{{}}') end"
    )


def _size(name: str) -> str:
    return f"coalesce(pg_column_size(t.{name}), 0)" if name in _NULLABLE else f"pg_column_size(t.{name})"
