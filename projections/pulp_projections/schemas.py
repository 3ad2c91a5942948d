"""The names of the parts of a generation of the read model."""

from typing import Final, LiteralString

VIEWS: Final[tuple[LiteralString, ...]] = (
    "tasks",
    "task_counts",
    "task_days",
    "task_resources",
    "task_causes",
    "task_events",
    "positions",
    "dead_letters",
)
"""The tables of a generation, and the views in `public` that show those of the active one."""


def schema_of(generation: int) -> str:
    """The schema that holds the tables of a generation."""
    return f"generation_{generation}"
