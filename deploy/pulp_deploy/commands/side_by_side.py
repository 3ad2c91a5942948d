"""How many processes fold the log, for commands that fold all of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click
from pulp_events.collecting import collect_seldom
from pulp_processor.fill_processes import FillProcesses, usual_count
from pulp_processor.rebuild_fill import Filler

processes_option: Final = click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=usual_count,
    show_default="one a core, at most 4",
    metavar="N",
    help="Fold so many partitions side by side, each in a process. More need more memory.",
)


@contextmanager
def filling(processes: int) -> Iterator[Filler | None]:
    """The processes, while it lasts; None where this one is enough. Before any thread and any event loop is there."""
    if processes == 1:
        yield None
        return
    collect_seldom()  # what is there now is shared with them, and stays so if nobody touches it
    with FillProcesses(processes) as made:
        yield made.filler
