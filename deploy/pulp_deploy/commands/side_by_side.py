"""The process pool of commands that fold the whole log."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from pulp_processor.rebuilding.fill import Filler


def _usual_count() -> int:
    from pulp_processor.rebuilding.fill_processes import usual_count

    return usual_count()


processes_option: Final = click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=_usual_count,
    show_default="one a core, at most 4",
    metavar="N",
    help="Fold this many partitions in parallel, each in its own process. More processes need more memory.",
)


@contextmanager
def filling(processes: int) -> "Iterator[Filler]":
    """Yield the processes. Call it before any thread or event loop starts."""
    from pulp_processor.rebuilding.fill_processes import FillProcesses
    from pulp_runtime.gc_tuning import collect_seldom

    collect_seldom()  # forked processes share existing objects as long as nobody writes to them
    with FillProcesses(processes) as made:
        yield made.filler
