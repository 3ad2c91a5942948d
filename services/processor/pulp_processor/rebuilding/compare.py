"""Comparing two generations, row by row and column by column, without holding either in memory.

First Postgres computes digests of buckets of rows; then only the rows of buckets that differ are read, in the order of
their keys. Counters and the rows of resources are compared with the tasks of their own generation.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier
from pulp_events.task import Position
from pulp_projections.schemas import schema_of
from pulp_projections.sql import load

from pulp_processor.rebuilding.errors import RebuildRefused

_SQL: Final = load("pulp_processor.rebuilding", "compare.sql")
Row = dict[str, str | None]
"""Column → value as text."""
_EXAMPLES: Final = 10
_AT_ONCE: Final = 500
_SHOWN: Final = 120
_COUNTS: Final = "task_counts"
_RESOURCES: Final = "task_resources"
MISSING: Final = "(row)"
"""The column name of a difference that is a whole row: only one generation has it."""


class _Table(NamedTuple):
    key: tuple[str, ...]
    bucket: LiteralString
    coordinates: tuple[str, str, str | None] | None
    """The columns of `Coordinates`; None for a table that has none."""


_PLACE: Final = ("partition", "record_offset")
_PLACE_BUCKET: Final[LiteralString] = "partition || ':' || record_offset / 10000"
_TABLES: Final[Mapping[str, _Table]] = {
    "tasks": _Table(("task_id",), "right(task_id::text, 3)", ("partition", "last_offset", "task_id")),
    "task_events": _Table(_PLACE, _PLACE_BUCKET, (*_PLACE, "task_id")),
    "task_causes": _Table(("task_id",), "right(task_id::text, 3)", None),
    "task_days": _Table(("day", "partition", "kind", "state", "waited", "ran"), "day::text", None),
    "dead_letters": _Table(_PLACE, _PLACE_BUCKET, (*_PLACE, None)),
}


class Coordinates(NamedTuple):
    """Where a row comes from in the log, as text: its event, or the last one that changed it."""

    partition: str
    offset: str
    task_id: str | None
    """None for a dead letter."""

    @property
    def position(self) -> Position:
        """The same place as numbers."""
        return Position(int(self.partition), int(self.offset))


class RowDifference(NamedTuple):
    """One value that differs, as text; None for SQL's null."""

    table: str
    key: tuple[str, ...]
    column: str
    active: str | None
    other: str | None
    at: Coordinates | None = None
    """None if a whole column differs, or if the row does not hold its coordinates. If both generations have the row,
    these are the other generation's."""

    def __str__(self) -> str:
        return (
            f"{self.table} {':'.join(self.key)}: {self.column} is {short(self.active)} in the active generation,"
            f" {short(self.other)} in the other"
        )


@dataclass(slots=True)
class Comparison:
    """The result. Columns are named TABLE.COLUMN; a row that only one side has counts as TABLE.(row)."""

    generation: int = 0
    """The active generation."""
    positions: dict[int, int] = field(default_factory=dict)
    """Partition → next offset, of both generations."""
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Table → number of rows in the active generation and in the other."""
    differences: Counter[str] = field(default_factory=Counter)
    """Column → number of rows that differ in it, if that was not accepted."""
    accepted: Counter[str] = field(default_factory=Counter)
    """The same for columns whose differences were accepted."""
    examples: list[RowDifference] = field(default_factory=list)
    """The first differences that were not accepted."""

    @property
    def is_equal(self) -> bool:
        """Whether all differences were accepted."""
        return not self.differences


async def compare(
    first: AsyncConnection,
    first_generation: int,
    second: AsyncConnection,
    second_generation: int,
    *,
    accept: Collection[str] = (),
    step: Callable[[str], None] = lambda table: None,
) -> Comparison:
    """Compare all tables, each side as its connection's transaction sees it.

    `accept` names columns that may differ, as COLUMN or TABLE.COLUMN. `step(table)` is called before each table. Raises
    `RebuildRefused` for a name that no table has.
    """
    found = Comparison()
    columns = [
        await _columns(connection, generation)
        for connection, generation in ((first, first_generation), (second, second_generation))
    ]
    _check_accepted(accept, columns)
    for table in _TABLES:
        step(table)
        ours, theirs = columns[0][table], columns[1][table]
        for column in sorted(set(ours) ^ set(theirs)):
            _note(found, accept, RowDifference(table, (), column, *_presence(column in ours)))
        common = [column for column in ours if column in theirs]
        sides = (_Side(first, first_generation, table, common), _Side(second, second_generation, table, common))
        await _compare_table(found, accept, *sides)
    step(_COUNTS)
    ours_kept = await _check_counters(found, accept, first, first_generation, lambda kept, counted: (kept, counted))
    theirs_kept = await _check_counters(found, accept, second, second_generation, lambda kept, counted: (counted, kept))
    found.rows[_COUNTS] = (ours_kept, theirs_kept)
    step(_RESOURCES)
    ours_there = await _check_resources(found, accept, first, first_generation, _presence)
    theirs_there = await _check_resources(found, accept, second, second_generation, lambda there: _presence(not there))
    found.rows[_RESOURCES] = (ours_there, theirs_there)
    return found


class _Side:
    """One table of one generation."""

    def __init__(self, connection: AsyncConnection, generation: int, table: str, columns: Sequence[str]) -> None:
        self.table = table
        self.columns = columns
        self.key = _TABLES[table].key
        self._connection = connection
        self._generation = generation

    async def digests(self) -> dict[str, tuple[int, str]]:
        """Bucket → number of rows, digest."""
        cursor = await self._connection.execute(self._query("digests", [Identifier(name) for name in self.columns]))
        return {bucket: (count, digest) for bucket, count, digest in await cursor.fetchall()}

    async def rows(self, buckets: Sequence[str]) -> AsyncIterator[tuple[Any, Row]]:
        """(key, column → value as text) in the order of the keys."""
        keys = [Identifier(name) for name in self.key]
        texts = [SQL("{}::text").format(Identifier(name)) for name in self.columns]
        async with self._connection.cursor(name=f"rows_of_{self.table}") as cursor:
            cursor.itersize = _AT_ONCE
            await cursor.execute(self._query("rows", [*keys, *texts]), {"buckets": list(buckets)})
            async for row in cursor:
                yield row[: len(keys)], dict(zip(self.columns, row[len(keys) :], strict=True))

    def difference(
        self, key: tuple[Any, ...], row: Row, column: str, active: str | None, other: str | None
    ) -> RowDifference:
        """One difference in a row of this table."""
        names = _TABLES[self.table].coordinates or (None, None, None)
        partition, offset, task_id = (None if name is None else row.get(name) for name in names)
        at = None if partition is None or offset is None else Coordinates(partition, offset, task_id)
        return RowDifference(self.table, _texts(key), column, active, other, at)

    def _query(self, name: str, columns: Sequence[Identifier | Composed]) -> Composed:
        return SQL(_SQL[name]).format(
            bucket=SQL(_TABLES[self.table].bucket),
            columns=SQL(", ").join(columns),
            key=SQL(", ").join(Identifier("t", name) for name in self.key),
            schema=Identifier(schema_of(self._generation)),
            table=Identifier(self.table),
        )


async def _compare_table(found: Comparison, accept: Collection[str], first: _Side, second: _Side) -> None:
    ours, theirs = await first.digests(), await second.digests()
    found.rows[first.table] = (_total(ours), _total(theirs))
    buckets = [bucket for bucket in ours.keys() | theirs.keys() if ours.get(bucket) != theirs.get(bucket)]
    if not buckets:
        return
    left, right = first.rows(buckets), second.rows(buckets)
    mine, other = await anext(left, None), await anext(right, None)
    while mine or other:
        if other is None or (mine is not None and mine[0] < other[0]):
            assert mine is not None
            _note(found, accept, first.difference(*mine, MISSING, *_presence(True)))
            mine = await anext(left, None)
        elif mine is None or other[0] < mine[0]:
            _note(found, accept, first.difference(*other, MISSING, *_presence(False)))
            other = await anext(right, None)
        else:
            for column in first.columns:
                if mine[1][column] != other[1][column]:
                    _note(found, accept, first.difference(*other, column, mine[1][column], other[1][column]))
            mine, other = await anext(left, None), await anext(right, None)


async def _check_counters(
    found: Comparison,
    accept: Collection[str],
    connection: AsyncConnection,
    generation: int,
    sides: Callable[[int, int], tuple[int, int]],
) -> int:
    """Note the counters that are not equal to the number of their tasks, and return how many counters are not zero.

    `sides(kept, counted)` returns the two values in the order (active generation, other).
    """
    cursor = await connection.execute(SQL(_SQL["counters"]).format(schema=Identifier(schema_of(generation))))
    rows = await cursor.fetchall()
    for *key, kept, counted in rows:
        if (kept or 0) != counted:
            active, other = map(str, sides(kept or 0, counted))
            _note(found, accept, RowDifference(_COUNTS, tuple(key), "tasks", active, other))
    return sum(1 for row in rows if row[3] is not None)


async def _check_resources(
    found: Comparison,
    accept: Collection[str],
    connection: AsyncConnection,
    generation: int,
    sides: Callable[[bool], tuple[str, str]],
) -> int:
    """Note the resource rows that do not match the tasks, and return how many rows exist.

    `sides(is_there)` returns what the difference shows for (active generation, other).
    """
    schema = Identifier(schema_of(generation))
    async with connection.cursor(name="resources") as cursor:
        cursor.itersize = _AT_ONCE
        await cursor.execute(SQL(_SQL["resources"]).format(schema=schema))
        async for task_id, resource, use, is_there, partition, offset in cursor:
            at = None if partition is None else Coordinates(partition, offset, task_id)
            difference = RowDifference(_RESOURCES, (task_id, resource, use), MISSING, *sides(is_there), at)
            _note(found, accept, difference)
    row = await (await connection.execute(SQL(_SQL["resource_rows"]).format(schema=schema))).fetchone()
    assert row is not None
    return int(row[0])


def _note(found: Comparison, accept: Collection[str], difference: RowDifference) -> None:
    name = f"{difference.table}.{difference.column}"
    if name in accept or difference.column in accept:
        found.accepted[name] += 1
        return
    found.differences[name] += 1
    if len(found.examples) < _EXAMPLES:
        found.examples.append(difference)


async def _columns(connection: AsyncConnection, generation: int) -> dict[str, list[str]]:
    cursor = await connection.execute(_SQL["columns"], {"schema": schema_of(generation), "tables": list(_TABLES)})
    return dict(await cursor.fetchall())


def _check_accepted(accept: Collection[str], columns: Sequence[Mapping[str, Sequence[str]]]) -> None:
    known = {MISSING}
    for side in columns:
        for table, names in side.items():
            known |= {*names, *(f"{table}.{name}" for name in names), f"{table}.{MISSING}"}
    if unknown := sorted(set(accept) - known):
        raise RebuildRefused(f"no table of the read model has a column {', '.join(unknown)}: nothing was compared")


def _total(digests: Mapping[str, tuple[int, str]]) -> int:
    return sum(count for count, _ in digests.values())


def _presence(in_first: bool) -> tuple[str, str]:
    return ("there", "missing") if in_first else ("missing", "there")


def _texts(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(map(str, key))


def short(value: str | None) -> str:
    """A value as a line of text has room for it."""
    if value is None:
        return "null"
    return value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
