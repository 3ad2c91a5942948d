"""Whether a text names a person known only by a hash: every part of the text is tried. Pure."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_PART: Final = re.compile(r"[\w\u0300-\u036f]+|[^\w\s]|\s+")
"""A word includes its accents, even where they are separate characters."""


def forms_of(text: str) -> set[str]:
    """The text as it is, and in the two forms of Unicode that look the same: with accents composed and decomposed."""
    return {text} if text.isascii() else {text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))}


def possible_names(text: str) -> set[str]:
    """Every run of whole words of a text, with the marks between and around them, that could be a name.

    Each as written, in lower case, in upper case and capitalised, since a name in another case is still a name; and in
    each form of Unicode.
    """
    return {
        spelling
        for form in forms_of(text)
        for run in _runs(form)
        for spelling in (run, run.casefold(), run.lower(), run.upper(), run.title())
    }


def _runs(text: str) -> Iterator[str]:
    parts = list(_PART.finditer(text))
    for first in parts:
        if first[0].isspace():
            continue
        yield from (text[first.start() : last.end()] for last in parts if last.end() >= first.end())
