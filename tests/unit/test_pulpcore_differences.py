"""The page of differences from pulpcore has a row for each explanation that the comparison knows, and no other."""

import re
from pathlib import Path

from tests.clients.pulpcore.explained import EXPLANATIONS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pulpcore-differences.md"


def test_each_explanation_is_on_the_page() -> None:
    section = PAGE.read_text().split("\n## What differs\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    assert [row for row in rows if row not in ("name", "---")] == list(EXPLANATIONS)
