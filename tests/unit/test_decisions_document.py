"""docs/decisions.md: entries are numbered without a gap, dated, and begin with what was decided."""

import re
from datetime import date
from pathlib import Path
from typing import Final

import pytest

TEXT: Final = (Path(__file__).parents[2] / "docs/decisions.md").read_text(encoding="utf-8")
ITEMS: Final = re.findall(r"^- .*(?:\n  .*)*", TEXT, re.MULTILINE)
ENTRY: Final = re.compile(r"- \*\*(\d+)\*\* \((\d{4}-\d\d-\d\d)\) \*\*(.+?)\*\*", re.DOTALL)
FIRST_IN_ORDER: Final = 265
"""Earlier entries are grouped by subject, so their dates are not in order."""


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item[:8])
def test_an_item_is_an_entry_with_number_date_and_subject(item: str) -> None:
    found = ENTRY.match(item)
    assert found, item
    date.fromisoformat(found[2])  # raises for a day that does not exist
    assert len(found[3]) > 8


def test_numbers_count_from_one_without_a_gap() -> None:
    assert [int(number) for number, _, _ in ENTRY.findall(TEXT)] == list(range(1, len(ITEMS) + 1))


def test_later_entries_are_in_the_order_of_their_dates() -> None:
    later = [day for number, day, _ in ENTRY.findall(TEXT) if int(number) >= FIRST_IN_ORDER]
    assert later == sorted(later)


def test_no_two_entries_have_the_same_subject() -> None:
    subjects = [" ".join(subject.split()) for _, _, subject in ENTRY.findall(TEXT)]
    assert len(set(subjects)) == len(subjects)


def test_every_group_has_an_entry() -> None:
    groups = re.split(r"^#{2,} (.+)$", TEXT, flags=re.MULTILINE)[1:]
    bodies = dict(zip(groups[::2], groups[1::2], strict=True))
    assert len(bodies) == len(groups) // 2
    assert [title for title, body in bodies.items() if not ENTRY.search(body)] == []
