"""Tasks as objects of JSON, which Postgres turns into rows with `json_to_recordset`."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pulp_events.task import Task

from pulp_projections.task_columns import Column, compiled
from pulp_projections.times import clamped_ms, moment


def row_maker(columns: Sequence[Column]) -> Callable[[Task], dict[str, Any]]:
    """The function that turns a task into an object with the columns' values by name."""
    conversions = {
        column.name: time_text if column.type == "timestamptz" else column.derive
        for column in columns
        if column.type == "timestamptz" or column.derive
    }
    values = [
        f"'{column.name}': " + (f"{column.name}(" if column.name in conversions else "(") + f"task.{column.source})"
        for column in columns
    ]
    return compiled("task", f"{{{', '.join(values)}}}", conversions)


@lru_cache(maxsize=64)
def time_text(timestamp_ms: int | None) -> str | None:
    """A broker's time as Postgres reads it."""
    return None if timestamp_ms is None else moment(clamped_ms(timestamp_ms)).isoformat()
