"""Named SQL: the statements in the files, without comments."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files

import pytest
from psycopg import _queries
from pulp_projections.sql import load
from pulp_projections.task_columns import SQL_LISTS
from pulp_projections.writing.target import GUARDS

PACKAGES = ("pulp_projections", "pulp_runtime", "pulp_accounts", "pulp_processor", "pulp_worker", "pulp_api")


LISTS = {**SQL_LISTS, **GUARDS}
"""What is put in place of placeholders when statements are loaded."""


def folders(package: str) -> Iterator[str]:
    """The package and all packages in it, by name."""
    yield package
    for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if found.ispkg:
            yield found.name


PARTS = frozenset({"world"})
"""The prefix of other statements: lists of the past are long, and rarely read."""
FILES = [
    (folder, file.name)
    for package in PACKAGES
    for folder in folders(package)
    for file in files(folder).iterdir()
    if file.name.endswith(".sql") and file.read_text().startswith("-- ") and " --\n" in file.read_text()
]


@pytest.mark.parametrize(("package", "file"), FILES)
def test_no_statement_is_parsed_whenever_it_is_run(package: str, file: str) -> None:
    for name, statement in load(package, file, LISTS).items():
        if name not in PARTS:
            assert len(statement) <= _queries.MAX_CACHED_STATEMENT_LENGTH, name


@pytest.mark.parametrize(("package", "file"), FILES)
def test_comments_and_indents_are_left_out(package: str, file: str) -> None:
    for statement in load(package, file, LISTS).values():
        lines = statement.splitlines()
        assert lines
        assert [line for line in lines if line != line.lstrip() or "--" in line] == []


def test_there_are_files() -> None:
    assert ("pulp_projections.writing", "small_batch.sql") in FILES
    assert ("pulp_worker", "claims.sql") in FILES
