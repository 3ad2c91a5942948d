"""Named SQL: statements are in `.sql` files next to the code that runs them.

A statement starts with a line `-- NAME --`; its comments say why. Parameters are bound by name.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Final, LiteralString
from uuid import UUID

_HEADER: Final = re.compile(r"^-- (\w+) --\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n|\s+-- .*$", re.MULTILINE)
_INDENT: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_NO_LISTS: Final[Mapping[str, LiteralString]] = {}


def load(package: str, file: str, lists: Mapping[str, LiteralString] = _NO_LISTS) -> dict[str, LiteralString]:
    """The statements of one file of a package, by name.

    `lists`: what to put in place of `{NAME}`, such as the columns of a table; other placeholders stay. Raises
    `ValueError` if two statements have the same name, or if no statement has a name.
    """
    parts = _HEADER.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{package}/{file}: every statement needs a name of its own")
    # The text comes from files of this distribution, never from input, so it is as literal as a string in the code.
    return {name: _filled(_short(body), lists) for name, body in zip(names, bodies, strict=True)}


def uuid_array(ids: Iterable[UUID]) -> str:
    """For a parameter cast to `uuid[]`: psycopg takes longer to adapt a list than Postgres takes for the statement."""
    return f"{{{','.join([f'{id_.int:032x}' for id_ in ids])}}}"


def _filled(body: str, lists: Mapping[str, LiteralString]) -> str:
    return _PLACEHOLDER.sub(lambda found: lists.get(found[1], found[0]), body)


def _short(body: str) -> str:
    """Strip comments and indentation: psycopg parses a statement of more than 4,096 characters each time it runs."""
    return _INDENT.sub("", _COMMENT.sub("", body)).strip()
