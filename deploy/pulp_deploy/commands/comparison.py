"""Print the comparison of two generations. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pulp_console.escaping import one_line
from pulp_console.output import table

if TYPE_CHECKING:
    from pulp_processor.rebuilding.compare import Comparison, RowDifference


def as_value(found: "Comparison") -> dict[str, Any]:
    """The value for scripts: `live` is the active generation, `log` the one folded from the log."""
    return {
        "equal": found.is_equal,
        "generation": found.generation,
        "positions": {str(partition): offset for partition, offset in sorted(found.positions.items())},
        "rows": {table: {"live": live, "log": log} for table, (live, log) in found.rows.items()},
        "accepted": dict(sorted(found.accepted.items())),
        "differences": dict(sorted(found.differences.items())),
        "examples": [_difference(item) for item in found.examples],
    }


def page(found: "Comparison", names: tuple[str, str], examples: Sequence[str]) -> list[str]:
    """The page for people; `names` are the heads of the two columns of numbers."""
    rows = [[name, str(live), str(log)] for name, (live, log) in found.rows.items()]
    end = "equal" + (", but for what was accepted" if found.accepted else "") if found.is_equal else "not equal"
    return [
        *table(rows, ("ROWS OF", *names)),
        *(f"accepted: {column} differs in {count} rows" for column, count in sorted(found.accepted.items())),
        *(f"DIFFERENT: {column} in {count} rows" for column, count in sorted(found.differences.items())),
        *(one_line(example) for example in examples),
        end,
    ]


def details(first: "RowDifference") -> list[str]:
    """The lines that describe one difference."""
    fields = _difference(first)
    named = {
        "table": first.table,
        "row": ":".join(first.key),
        "task": fields["task_id"],
        "column": first.column,
        "live": fields["live"],
        "from the log": fields["log"],
        "partition:offset": None if first.at is None else str(first.at.position),
    }
    return [f"  {name + ':':<18} {'null' if value is None else value}" for name, value in named.items()]


def values_of(found: "RowDifference") -> dict[str, Any]:
    """What differs, for scripts: the place in the tables, and both values."""
    return {
        "table": found.table,
        "key": list(found.key),
        "column": found.column,
        "live": found.active,
        "log": found.other,
    }


def _difference(found: "RowDifference") -> dict[str, Any]:
    at = found.at
    return {
        **values_of(found),
        "task_id": None if at is None else at.task_id,
        "partition": None if at is None else at.position.partition,
        "offset": None if at is None else at.position.offset,
    }
