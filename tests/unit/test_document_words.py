"""Documents use the words of the glossary, and no coined ones."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "cli/README.md"])
COINED: Final = {
    "let(s|ting)? go": "release",
    "heirs?": "successor",
    "inheritance": "handoff",
    "hopeless": "blocked",
    "made anew": "created again, replaced",
    "standings": "claim status",
    "letters sent": "dead letters published",
}
"""A pattern for a coined word → the usual term."""
GLOSSARY: Final = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
WORDS: Final = re.findall(r"^\| (?!word |---)([^|]+?) \| (.+?) \|$", GLOSSARY, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_says_it_in_the_words_of_the_field(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    found = {word: COINED[word] for word in COINED if re.search(rf"\b{word}\b", text, re.IGNORECASE)}
    assert found == {}


def test_each_word_of_the_glossary_has_one_meaning() -> None:
    words = [word for entry, _ in WORDS for word in entry.split(", ")]
    assert len(words) > 60
    assert sorted(set(words)) == sorted(words)
    assert [entry for entry, meaning in WORDS if not meaning.endswith(".")] == []
