"""Query plans as EXPLAIN tells them in JSON."""

from collections.abc import Iterator
from typing import Any


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all nodes below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from nodes_of(child)
