"""`pulp-tasks verify`: does the read model say what the log says?"""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import click
from pulp_events.collecting import collect_seldom
from pulp_processor.compare import Comparison, Difference
from pulp_processor.verify import verify as compare_with_log

from pulp_deploy.commands.rebuild_display import Display
from pulp_deploy.commands.side_by_side import filling, processes_option
from pulp_deploy.commands.target import data_option, processor_settings

_DIFFERENT: Final = 1


@click.command()
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@processes_option
@data_option
def verify(output: str, processes: int, data: Path | None) -> None:
    """Compare the live read model with a fresh fold of the whole log, row by row.

    Both at the same positions, also while tasks run. Readers notice nothing; it needs as much room in Postgres as the
    live rows take, until it ends. Exits 0 if they are equal, 1 if not: then with the first difference, and where in the
    log it comes from. What helps then is `pulp-tasks rebuild`.

    \b
    Examples:
      pulp-tasks verify
      pulp-tasks verify --output json | jq .examples[0]
    """
    settings = processor_settings(data)
    collect_seldom()
    with filling(processes) as filler, Display() as display:
        found = asyncio.run(compare_with_log(settings, display, filler))
    click.echo(json.dumps(_as_json(found)) if output == "json" else "\n".join(_as_text(found)))
    if not found.is_equal:
        raise click.exceptions.Exit(_DIFFERENT)


def _as_text(found: Comparison) -> list[str]:
    places = "  ".join(f"{partition}:{offset}" for partition, offset in sorted(found.positions.items()))
    lines = [f"generation {found.generation} and the log, before {places}"]
    lines += [f"{table:<13} {live:>12} rows live {log:>12} from the log" for table, (live, log) in found.rows.items()]
    lines += [f"DIFFERENT: {column} in {count} rows" for column, count in sorted(found.differences.items())]
    if found.examples:
        lines += ["the first difference:", *_details(found.examples[0])]
    return [*lines, "equal" if found.is_equal else "not equal"]


def _details(first: Difference) -> list[str]:
    fields = _difference(first)
    place = None if first.at is None else f"{first.at.partition}:{first.at.offset}"
    named = {
        "table": first.table,
        "row": ":".join(first.key),
        "task": fields["task_id"],
        "column": first.column,
        "live": fields["live"],
        "from the log": fields["log"],
        "partition:offset": place,
    }
    return [f"  {name + ':':<18} {'null' if value is None else value}" for name, value in named.items()]


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "equal": found.is_equal,
        "generation": found.generation,
        "positions": {str(partition): offset for partition, offset in sorted(found.positions.items())},
        "rows": {table: {"live": live, "log": log} for table, (live, log) in found.rows.items()},
        "differences": dict(sorted(found.differences.items())),
        "examples": [_difference(item) for item in found.examples],
    }


def _difference(found: Difference) -> dict[str, Any]:
    at = found.at
    return {
        "table": found.table,
        "key": list(found.key),
        "column": found.column,
        "task_id": None if at is None else at.task_id,
        "live": found.active,
        "log": found.other,
        "partition": None if at is None else int(at.partition),
        "offset": None if at is None else int(at.offset),
    }
