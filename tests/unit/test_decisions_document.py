"""docs/decisions.md: no two decisions have one number, and none is missing."""

import re
from datetime import date
from pathlib import Path
from typing import Final

TEXT: Final = (Path(__file__).parents[2] / "docs/decisions.md").read_text(encoding="utf-8")
ENTRIES: Final = re.findall(r"^- \*\*(\d+)\*\* \((.*?)\) \*\*", TEXT, re.MULTILINE)


def test_each_number_is_used_once() -> None:
    assert sorted(int(number) for number, _ in ENTRIES) == list(range(1, len(ENTRIES) + 1))


def test_each_date_is_one() -> None:
    assert len([date.fromisoformat(day) for _, day in ENTRIES]) > 200
