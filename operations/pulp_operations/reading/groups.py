"""comps and modules: only counted, as publications contain them unchanged."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from pulp_operations.reading.documents import Document, local_name
from pulp_operations.reading.text import Text

_MODULE: Final = re.compile(rb"""document\s*:\s*["']?modulemd["']?\s*(?:#.*)?""")
_MOST_LINE_BYTES: Final = 1 << 16


def count_groups(text: Text) -> Counter[str]:
    """How many of `group`, `category` and `environment` comps has. Raises as a `Document` does when it is read."""
    with Document(text.path, text.what, "comps", doctype=True) as document:
        return Counter(local_name(element.name) for element in document)


def count_modules(pieces: Iterator[bytes]) -> int:
    """The number of modules:

    YAML documents that say `document: modulemd` at the top. The YAML is not parsed, because an alias could expand a
    billion times.
    """
    count, rest = 0, b""
    for piece in pieces:
        *lines, rest = (rest[:_MOST_LINE_BYTES] + piece).split(b"\n")
        count += sum(1 for line in lines if _is_module(line))
    return count + _is_module(rest)


def _is_module(line: bytes) -> bool:
    return line.startswith(b"document") and bool(_MODULE.fullmatch(line.rstrip()))
