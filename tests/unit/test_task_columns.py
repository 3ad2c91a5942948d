"""A column of `tasks` is declared once: one more line in the table of columns adds it to every statement and every
row."""

import struct
from itertools import pairwise

import msgspec
import pytest
from msgspec.structs import replace
from pulp_events.task import Ignored, Position, Task, evolve
from pulp_projections.sql import load
from pulp_projections.stored_tasks import decoder
from pulp_projections.task_columns import COLUMNS, Column, changing, for_copy, sql_lists
from pulp_projections.task_objects import row_maker
from pulp_projections.writing.task_rows import row_encoder

from tests.support.events import NOON, accepted

MADE_UP = Column("made_up", "integer", "attempt", changes=True)
"""A column that nobody has heard of. It stores a field that every task has."""
LASTING = Column("made_up", "integer", "attempt")
STATEMENTS = {
    ("pulp_projections", "read_model.sql", "create"): 1,
    ("pulp_projections", "stored_tasks.sql", "load"): 1,
    ("pulp_projections.writing", "large_batch.sql", "make_changed"): 1,
    ("pulp_projections.writing", "large_batch.sql", "update_tasks"): 2,
    ("pulp_projections.writing", "large_batch.sql", "copy_tasks"): 1,
    ("pulp_projections.writing", "small_batch.sql", "write"): 5,
}
"""Every statement with a list of columns, and how often a column that changes is in it."""


@pytest.fixture
def task() -> Task:
    made = evolve(None, accepted(), Position(3, 7), int(NOON.timestamp() * 1000))
    assert not isinstance(made, Ignored)
    return replace(made, attempt=77)


@pytest.mark.parametrize(("package", "file", "statement"), STATEMENTS)
def test_one_more_column_is_in_every_statement(package: str, file: str, statement: str) -> None:
    lists = sql_lists((*COLUMNS, MADE_UP))
    written = load(package, file, lists)[statement]
    assert written.count("made_up") == STATEMENTS[package, file, statement]


def test_a_column_that_never_changes_is_not_updated() -> None:
    lists = sql_lists((*COLUMNS, LASTING))
    written = load("pulp_projections.writing", "large_batch.sql", lists)
    assert "made_up" in written["copy_tasks"]
    assert "made_up" not in written["update_tasks"] + written["make_changed"]


@pytest.mark.parametrize("columns", [(*COLUMNS, MADE_UP), changing((*COLUMNS, MADE_UP))], ids=["whole", "changed"])
def test_one_more_column_is_in_every_row_of_copy(columns: list[Column], task: Task) -> None:
    fields = fields_of(row_encoder(columns)(task))
    assert len(fields) == len(columns)
    place = [column.name for column in for_copy(columns)].index("made_up")
    assert fields[place] == (77).to_bytes(4)


@pytest.mark.parametrize("columns", [(*COLUMNS, MADE_UP), changing((*COLUMNS, MADE_UP))], ids=["whole", "changed"])
def test_one_more_column_is_in_every_row_of_json(columns: list[Column], task: Task) -> None:
    row = row_maker(columns)(task)
    assert list(row) == [column.name for column in columns]
    assert row["made_up"] == 77


def test_one_more_column_is_read_back(task: Task) -> None:
    """The value of the additional column comes last, and belongs to its field."""
    columns = [column for column in COLUMNS if column.derive is None and column.source != "attempt"]
    values = {column.source: getattr(task, column.source) for column in columns}
    row = [sent(column, values[column.source]) for column in columns]
    assert decoder(Task, [*columns, MADE_UP])([*row, 77]) == task


def test_every_field_of_a_task_is_stored_once() -> None:
    stored = [column.source for column in COLUMNS if column.derive is None]
    assert sorted(stored) == sorted(Task.__struct_fields__)


def test_columns_of_one_field_are_neighbours() -> None:
    sources = [column.source for column in for_copy(COLUMNS)]
    assert len(set(sources)) == 1 + sum(left != right for left, right in pairwise(sources))


def fields_of(row: bytes) -> list[bytes | None]:
    """The fields of a row in COPY's binary format."""
    [count] = struct.unpack_from(">h", row)
    fields: list[bytes | None] = []
    place = 2
    for _ in range(count):
        [length] = struct.unpack_from(">i", row, place)
        fields.append(None if length < 0 else row[place + 4 : place + 4 + length])
        place += 4 + max(length, 0)
    assert place == len(row)
    return fields


def sent(column: Column, value: object) -> object:
    """The value as psycopg returns it."""
    if column.type == "json":
        return None if value is None else msgspec.json.encode(value).decode()
    return list(value) if isinstance(value, tuple) else value
