"""Named SQL: statements stand in `.sql` files beside the code that runs them.

A statement starts with a line `-- NAME --`; comments in it say why. Parameters are bound by name.
"""

import re
from importlib.resources import files
from typing import LiteralString

_HEADER = re.compile(r"^-- (\w+) --\n", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n|\s+-- .*$", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def load(package: str, file: str) -> dict[str, LiteralString]:
    """The statements of one file of a package, by name. Raises `ValueError` if a name stands twice or none does."""
    parts = _HEADER.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{package}/{file}: every statement needs a name of its own")
    # The text comes from a file of this distribution, never from input: as literal as a string in the code.
    return {name: _short(body) for name, body in zip(names, bodies, strict=True)}


def _short(body: str) -> str:
    """Without comments and indents: psycopg parses what has more than 4,096 characters anew whenever it is run."""
    return _INDENT.sub("", _COMMENT.sub("", body)).strip()
