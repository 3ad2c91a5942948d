"""A column of `tasks` that one statement of the projector forgets fails here, by name."""

import re

from pulp_events.task import Task
from pulp_projections.sql import load

TABLE = load("pulp_projections", "read_model.sql")["create"]
LARGE = load("pulp_projections.writing", "store.sql")
SMALL = load("pulp_projections.writing", "small_batch.sql")["write"]
DERIVED = {"exclusive_resources", "shared_resources"}
"""Columns made of the field `resources`."""


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.DOTALL)
    assert match is not None, pattern
    return match[1]


def names(text: str) -> list[str]:
    """The first word of each item of a list, without what is in parentheses or an alias before it."""
    return [re.split(r"[\s:=,)]", item.strip().removeprefix("c."))[0] for item in text.split(",")]


def types(text: str) -> dict[str, str]:
    """Name → type of the columns of a table or a recordset."""
    pairs = [item.split()[:2] for item in text.split(",")]
    return {name: kind for name, kind in pairs}


COLUMNS = types(found(r"create table tasks \((.*?)\n\)", TABLE))
CHANGING = types(found(r"changed_tasks \((.*?)\n\)", LARGE["make_changed"]))
SET = r"\nset (.*?)\nfrom"


def assigned(text: str) -> set[str]:
    return set(re.findall(r"(\w+) = (?:coalesce\()?c\.\1\b", text))


def test_every_field_of_a_task_is_a_column() -> None:
    renamed = {"offset": "last_offset"}
    fields = {renamed.get(name, re.sub("_at_ms$", "_at", name)) for name in Task.__struct_fields__}
    assert fields | DERIVED == set(COLUMNS)


def test_copy_writes_every_column() -> None:
    listed = names(found(r"copy tasks \((.*?)\)", LARGE["copy_tasks"]))
    assert sorted(listed) == sorted(COLUMNS)
    assert listed[: len(CHANGING)] == list(CHANGING)  # one encoder writes the beginning of both rows


def test_a_small_batch_writes_every_column() -> None:
    listed = names(found(r"insert into tasks\s+\((.*?)\)", SMALL))
    recordset = types(found(r"%\(created\)s::json\) as c\s+\((.*?)\)\n", SMALL))
    selected = found(r"\nselect (c\.task_id.*?)\nfrom fence", SMALL).replace(", 'null')", "").replace("coalesce(", "")
    assert sorted(listed) == sorted(COLUMNS)
    assert names(selected) == listed
    assert recordset == COLUMNS


def test_both_ways_change_the_same_columns() -> None:
    expected = set(CHANGING) - {"task_id"}
    assert assigned(found(SET, LARGE["update_tasks"])) == expected
    assert assigned(found(r"update tasks t\nset (.*?)\nfrom", SMALL)) == expected
    assert types(found(r"%\(updated\)s::json\) as c\s+\((.*?)\)\n", SMALL)) == CHANGING
    assert CHANGING.items() <= COLUMNS.items()


def test_the_fold_reads_every_field() -> None:
    selected = found(r"select (.*)\nfrom tasks", LARGE["load_tasks"])
    read = set(re.findall(r"\b\w+\b", selected)) & set(COLUMNS)
    assert read == set(COLUMNS) - DERIVED
