"""Query plans as EXPLAIN shows them in JSON."""

from collections.abc import Iterator
from typing import Any


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all nodes below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from nodes_of(child)


def table_of(node: dict[str, Any]) -> str | None:
    """The table that a node reads; for a part of the history it is the history."""
    name: str | None = node.get("Relation Name")
    return "task_events" if name is not None and name.startswith("task_events_") else name
