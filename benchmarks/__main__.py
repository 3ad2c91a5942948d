"""`./dev bench [NAME…] [--quick] [--json FILE]`."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from pulp_deploy.stack import Stack, StackOptions
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import (
    costs,
    draining,
    fetching,
    fleet,
    footprint,
    listing,
    paging,
    projecting,
    publishing,
    purging,
    reading,
    recovering,
    replaying,
    serving,
    siege,
    streaming,
    taking_over,
    transporting,
)
from benchmarks.measure import Measure, Result, Sizes, run, steps_of
from benchmarks.scene import Servers
from tests.support.web_page import CHROMIUM_ADVICE, chromium

_MODULES = (
    *(transporting, projecting, draining, serving, recovering, listing, reading, footprint, fetching, siege),
    *(publishing, purging, fleet, taking_over, paging, streaming, costs, replaying),
)
MEASURES: dict[str, Measure] = {measure.name: measure for module in _MODULES for measure in module.MEASURES}
GROUPS = {"fleet": [measure.name for measure in (*fleet.MEASURES, *taking_over.MEASURES)]}
"""Names for several measures."""


@click.command(help="Measure, each side by side with its limit or its peers. Without NAME everything.")
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice([*MEASURES, *GROUPS]))
@click.option("--quick", is_flag=True, help="One round of small sizes: whether it runs, not how fast.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the results here.")
@click.option("--rounds", type=click.IntRange(1), help="How many rounds, instead of each measure's own number.")
def bench(names: tuple[str, ...], quick: bool, file: Path | None, rounds: int | None) -> None:
    """See the command's help."""
    wanted = dict.fromkeys(one for name in names for one in GROUPS.get(name, [name]))
    chosen = [MEASURES[name] for name in wanted] or _possible()
    with servers_of(any(measure.needs_servers for measure in chosen)) as servers:
        results = asyncio.run(_run(chosen, servers, Sizes(quick, rounds)))
    if file is not None:
        file.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")


def _possible() -> list[Measure]:
    """All measures, but for those that need a program which is missing."""
    found = list(MEASURES.values())
    if chromium() is None:
        click.echo(f"there is no Chromium, so the live page is not measured: {CHROMIUM_ADVICE}", err=True)
        found = [measure for measure in found if measure not in paging.MEASURES]
    return found


async def _run(chosen: list[Measure], servers: Servers, sizes: Sizes) -> list[Result]:
    console = Console(soft_wrap=True)
    found: list[Result] = []
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        total = sum(steps_of(measure, sizes) for measure in chosen)
        task = progress.add_task("", total=total)
        for measure in chosen:

            def step(description: str) -> None:
                progress.update(task, description=description)

            results = await run(measure, servers, sizes, step)
            progress.advance(task, steps_of(measure, sizes))
            console.print(f"{measure.name}: {measure.what}; min / median / max of the rounds", highlight=False)
            for result in results:
                console.print(lines(result), highlight=False)
            console.print(f"  machine  {results[0].loop_ms} ms for a loop of Python", highlight=False)
            found += results
    return found


def lines(result: Result) -> str:
    """What the terminal shows of a metric."""
    told = [f"{result.name}, {result.unit}" if result.unit else result.name, f"  ours   {result.ours}"]
    if result.limit is not None:
        told.append(f"  limit  {result.limit}")
    told += [f"  {name}  {spread}" for name, spread in result.peers.items()]
    if result.limit is not None or result.peers:
        told.append("  ratio  none" if result.ratio is None else f"  ratio  {result.ratio:.2f}")
    if result.goal:
        told.append(f"  goal   {result.goal if result.bound is None else result.bound.verdict(result)}")
    return "\n".join(told)


@contextmanager
def servers_of(are_needed: bool) -> Iterator[Servers]:
    """The servers that PULP_KAFKA and PULP_POSTGRES name; else temporary ones."""
    kafka, postgres = os.environ.get("PULP_KAFKA", ""), os.environ.get("PULP_POSTGRES", "")
    with TemporaryDirectory(prefix="pulp-bench-") as bytecode:
        if (kafka and postgres) or not are_needed:
            yield Servers(kafka, postgres, Path(bytecode))
            return
        options = StackOptions.throwaway()
        backend = replace(options.backend, postgres_connections=1000)  # of large fleets
        stack = Stack(replace(options, backend=backend), lambda line: click.echo(line, err=True))
        stack.up_backend()
        try:
            yield Servers(stack.backend.kafka, stack.backend.postgres, Path(bytecode))
        finally:
            stack.down()


if __name__ == "__main__":
    bench()
