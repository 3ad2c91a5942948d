"""Lists of tasks whose size is bounded in bytes: Postgres itself leaves out what a page has no room for.

A page always has all of its rows, so that paging by limit and offset stays right. What may be missing are values: each
task has an equal share of the page's bytes, and a task that needs more lacks its large values, and says which.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, LiteralString

from psycopg import AsyncConnection

from pulp_projections.reading.queries import Condition, Reading, TaskRow, parameters_of, reading_of, rows_of

PAGE_BYTES: Final = 2 * 1024 * 1024
"""What the values in `WIDE` of all tasks of a page may have together, as they are stored."""
DEEP: Final = 1000
"""From this offset on tasks are passed over by their ids alone."""
_PART: Final = 8
"""Of a task that needs more than its share each value is left out that has more than this part of the share."""
_CHILD_BYTES: Final = 128
"""What a child takes in an answer."""

WIDE: Final[dict[str, LiteralString]] = {
    "arguments": "'null'",
    "resources": "'[]'",
    "exclusive_resources": "'{}'::text[]",
    "shared_resources": "'{}'::text[]",
    "tags": "'{}'::text[]",
    "progress": "'{}'",
    "result": "'null'",
    "error": "json_build_object('code', t.error ->> 'code', 'description', left(t.error ->> 'description', 500))::text",
    "children": "'{}'::uuid[]",
}
"""The columns of `TaskRow` that may be large, and what stands in place of a value that is left out."""
EVERYTHING: Final = frozenset(WIDE)
_RESERVED: Final = frozenset({"exclusive_resources", "shared_resources"})
_JSON: Final = frozenset({"arguments", "resources", "progress", "result", "error"})
_NAMES: Final = tuple(name for name in TaskRow.__struct_fields__ if name != "omitted")


async def tasks(
    connection: AsyncConnection,
    conditions: Sequence[Condition],
    *,
    order: LiteralString,
    limit: int,
    offset: int = 0,
    wanted: frozenset[str] = EVERYTHING,
) -> list[TaskRow]:
    """The tasks for which every condition holds, with those columns of `WIDE` that are wanted."""
    reading = behind(reading_of(conditions, order), offset)
    statement: LiteralString = "select " + tasks_sql(reading, limit, wanted)
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    return [TaskRow(*row) for row in await rows_of(connection, statement, values)]


def behind(reading: Reading, offset: int) -> Reading:
    """The reading as it is best where `offset` tasks are passed over: of many only the ids, which an index has.

    Postgres computes all columns of what it passes over.
    """
    if offset < DEEP:
        return reading
    source, where, order, _ = reading
    ids = f"(select t.task_id from {source}{where} order by {order} limit %(limit)s offset %(skip)s)"
    by_task = order.replace("r.accepted_at", "t.accepted_at").replace("r.task_id", "t.task_id")
    return Reading(f"{ids} k join tasks t using (task_id)", "", by_task, has_skipped=True)


@lru_cache(maxsize=256)
def tasks_sql(reading: Reading, limit: int, wanted: frozenset[str]) -> LiteralString:
    """What reads tasks, after `select`: the columns of `TaskRow`, and the rest. `limit` and `skip` are the page.

    Sizes are told without reading the values: the large ones are stored beside the row, uncompressed (see
    read_model.sql). The rows keep the order of the subselect, which Postgres passes on as they come.
    """
    share = PAGE_BYTES // max(1, limit)
    children = share // _CHILD_BYTES
    inner = [_inner(name, wanted, children) for name in _NAMES]
    # What is reserved stands in the resources as well: they are counted once.
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
    if name == "children":
        return (
            "array(select c.task_id from tasks c where c.parent_id = t.task_id order by c.accepted_at"
            f" limit {children + 1}) as children"
        )
    return f"t.{name}"


def _outer(name: str, wanted: frozenset[str], share: int, children: int) -> str:
    if name not in WIDE:
        return f"t.{name}"
    if name not in wanted:
        return f"{'null' if name == 'error' else WIDE[name]} as {name}"
    if name == "children":
        return "t.children"
    value = f"t.{name}::text" if name in _JSON else f"t.{name}"
    return (
        f"case when t.wide <= {share} or {_size(name)} <= {share // _PART} then {value} else {WIDE[name]} end as {name}"
    )


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
    return f"coalesce(pg_column_size(t.{name}), 0)" if name == "error" else f"pg_column_size(t.{name})"
