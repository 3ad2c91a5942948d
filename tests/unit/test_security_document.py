"""docs/explain/security.md names, for every promise, tests that exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "explain" / "security.md"
_TEST: Final = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")
_FILE: Final = re.compile(r"`((?:unit|integration|acceptance|faults|containers|contract|mutation)/[a-z_0-9]+\.py)`")


class Row(NamedTuple):
    """A row of one of the tables of threats."""

    number: int
    what: str
    shown_by: str


def _rows() -> Iterator[Row]:
    is_threats = False
    for number, line in enumerate(DOCUMENT.read_text().splitlines(), 1):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[-1] == "shown by":
            is_threats = True
        elif not line.startswith("|"):
            is_threats = False
        elif is_threats and not line.startswith("| ---"):
            yield Row(number, cells[0], cells[-1])


def test_every_threat_has_a_test() -> None:
    rows = list(_rows())
    assert len(rows) > 30
    assert [row for row in rows if not _TEST.search(row.shown_by) and not _FILE.search(row.shown_by)] == []


@pytest.mark.parametrize("row", list(_rows()), ids=lambda row: f"line-{row.number}")
def test_the_tests_that_it_names_exist(row: Row) -> None:
    for file, name in _TEST.findall(row.shown_by):
        path = ROOT / "tests" / file
        assert path.is_file(), f"{path} does not exist"
        assert re.search(rf"^\s*(async )?def {name}\(", path.read_text(), re.MULTILINE), f"{name} is not in {file}"
    for file in _FILE.findall(row.shown_by):
        assert (ROOT / "tests" / file).is_file(), f"tests/{file} does not exist"
