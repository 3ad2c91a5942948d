"""`pulp-tasks verify`: compare the read model with the log."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pulp_console.groups import examples
from pulp_console.output import show

from pulp_deploy.commands import comparison
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.side_by_side import filling, processes_option
from pulp_deploy.commands.target import data_option, processor_settings
from pulp_deploy.exits import DIFFERENT

if TYPE_CHECKING:
    from pulp_processor.rebuilding.compare import Comparison


@click.command(epilog=examples("pulp-tasks verify", "pulp-tasks verify --output json | jq '.examples[0]'"))
@processes_option
@data_option
@output_option
def verify(processes: int, data: Path | None, output: str) -> None:
    """Compare the live read model with a fresh fold of the log.

    It compares row by row, at the same positions, even while tasks run. Readers notice nothing. While it runs, it needs
    as much room in Postgres as the live rows take. Exits 0 if they are equal, 1 if they differ: then it shows the first
    difference, and where in the log it comes from. To mend the read model, run pulp-tasks rebuild --activate.
    """
    from pulp_processor.consuming import internals
    from pulp_processor.rebuilding.verify import verify as compare_with_log
    from pulp_runtime.gc_tuning import collect_seldom

    from pulp_deploy.commands.rebuild_display import Display

    settings = processor_settings(data)
    internals.install()
    collect_seldom()
    with filling(processes) as filler, Display() as display:
        found = asyncio.run(compare_with_log(settings, display, filler))
    show(output, comparison.as_value(found), lambda: _page(found))
    if not found.is_equal:
        raise click.exceptions.Exit(DIFFERENT)


def _page(found: "Comparison") -> list[str]:
    from pulp_events.task import Position

    places = "  ".join(str(Position(*place)) for place in sorted(found.positions.items()))
    first = ["the first difference:", *comparison.details(found.examples[0])] if found.examples else []
    return [
        f"generation {found.generation} and the log, before {places}",
        *comparison.page(found, ("LIVE", "FROM THE LOG"), first),
    ]
