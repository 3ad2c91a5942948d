"""Regular expressions as in MongoDB (PCRE), for Postgres, whose own differ. Pure.

What both understand alike stays as it is. What Postgres would understand differently is rewritten, or refused: no
search may silently find the wrong tasks.
"""

import re
from collections.abc import Iterator
from typing import Final

from pulp_events.errors import BadInput

MOST_CHARACTERS: Final = 500
OPTIONS: Final = "imsx"
"""Ignore case; `^` and `$` match at each line; `.` also matches the end of a line; blanks and comments are left out."""
_INLINE: Final = re.compile(r"\(\?([a-zA-Z]+)\)")
_GROUPS: Final = re.compile(r"\(\?(?::|=|!|<=|<!)")
_SAME: Final = frozenset("dDwWsStnrfaeA")
"""Letters whose escapes mean the same to both."""
_WRITTEN: Final = {"b": r"\y", "B": r"\Y", "Z": r"(?=\n?\Z)", "z": r"\Z"}
_TOKEN: Final = re.compile(
    r"\\x(?P<hex>[0-9a-fA-F]{2})|\\(?P<escaped>.)|(?P<set>\[\^?+\]?+(?:\[:\w+:\]|\\.|[^\]\\])*+\])|\(\?(?P<asked>.?)|.",
    re.DOTALL,
)
_TOKEN_OR_COMMENT: Final = re.compile(r"#[^\n]*|" + _TOKEN.pattern, re.DOTALL)


def for_postgres(pattern: str, options: str = "") -> str:
    """The regular expression for the operator `~` of Postgres. Raises `BadInput`."""
    if len(pattern) > MOST_CHARACTERS:
        raise BadInput(f"$regex: a text of at most {MOST_CHARACTERS} characters is expected")
    if (inline := _INLINE.match(pattern)) is not None:
        options, pattern = options + inline[1], pattern[inline.end() :]
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise BadInput(f"$options: {', '.join(unknown)}: only the letters {', '.join(OPTIONS)} are known")
    flags = ("w" if "m" in options else "s") + "".join(letter for letter in "ix" if letter in options)
    # The options stand first in any case: Postgres takes *** at the beginning for an order to itself.
    return f"(?{flags})" + "".join(_written(pattern, options))


def _written(pattern: str, options: str) -> Iterator[str]:
    for token in (_TOKEN_OR_COMMENT if "x" in options else _TOKEN).finditer(pattern):
        text = token[0]
        if token["hex"] is not None:
            yield rf"\u00{token['hex']}"
        elif token["escaped"] is not None:
            yield _escaped(token["escaped"])
        elif token["set"] is not None:
            yield _set(text)
        elif token["asked"] is not None:
            if _GROUPS.match(pattern, token.start()) is None and token["asked"] != "<":
                raise BadInput(f"$regex: (?{token['asked']} is not taken there; options such as (?i) stand first")
            yield text
        elif text == "[":
            raise BadInput("$regex: a [ has no ] that ends its set")
        elif text == "^" and "m" in options:
            yield r"(?:\A|^(?!\Z))"  # not behind the line end of the last line
        elif text == "." and "s" not in options:
            yield r"[^\n]"
        elif text == "$" and "m" not in options:
            yield r"(?=\n?\Z)"  # also before the last line end, where a traceback ends
        else:
            yield text


def _escaped(letter: str) -> str:
    if letter in "123456789":  # they may take longer than any other
        raise BadInput("$regex: back references are not taken")
    if letter.isalnum() and letter not in _SAME and letter not in _WRITTEN:
        known = ", ".join(rf"\{each}" for each in sorted(_SAME | set(_WRITTEN)))
        raise BadInput(rf"$regex: \{letter} is not taken; known are {known} and \xHH")
    return _WRITTEN.get(letter, f"\\{letter}")


def _set(text: str) -> str:
    def escape(found: re.Match[str]) -> str:
        if found["hex"]:
            return rf"\u00{found['hex']}"
        if found[0][1].isalnum() and found[0][1] not in "dwstnrfaeb":
            raise BadInput(f"$regex: {found[0]} is not taken within [ ]")
        return found[0]

    return re.sub(r"\\(?:x(?P<hex>[0-9a-fA-F]{2})|.)", escape, text, flags=re.DOTALL)
