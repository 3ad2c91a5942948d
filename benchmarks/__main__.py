"""`./dev bench [NAME…] [--quick] [--json FILE]`."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from pulp_deploy.stack import Stack, StackOptions
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import (
    draining,
    fetching,
    footprint,
    listing,
    projecting,
    publishing,
    reading,
    recovering,
    serving,
    siege,
    transporting,
)
from benchmarks.measure import Measure, Result, Sizes, run, steps_of
from benchmarks.scene import Servers

_MODULES = (
    *(transporting, projecting, draining, serving, recovering, listing, reading, footprint, fetching, siege),
    publishing,
)
MEASURES: dict[str, Measure] = {measure.name: measure for module in _MODULES for measure in module.MEASURES}


@click.command(help="Measure, each side by side with its limit or its peers. Without NAME everything.")
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(MEASURES)))
@click.option("--quick", is_flag=True, help="One round of small sizes: whether it runs, not how fast.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the results here.")
def bench(names: tuple[str, ...], quick: bool, file: Path | None) -> None:
    """See the command's help."""
    chosen = [MEASURES[name] for name in dict.fromkeys(names)] or list(MEASURES.values())
    with _servers(any(measure.needs_servers for measure in chosen)) as servers:
        results = asyncio.run(_run(chosen, servers, Sizes(quick)))
    if file is not None:
        file.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")


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
            for result in results:
                console.print(_lines(result, measure), highlight=False)
            console.print(f"  machine  {results[0].loop_ms} ms for a loop of Python", highlight=False)
            found += results
    return found


def _lines(result: Result, measure: Measure) -> str:
    lines = [f"{result.name} ({measure.what}), {result.unit}; min / median / max of {len(result.ours.values)}"]
    lines.append(f"  ours   {result.ours}")
    if result.limit is not None:
        lines.append(f"  limit  {result.limit}")
    lines += [f"  {name}  {spread}" for name, spread in result.peers.items()]
    if result.ratio is not None:
        lines.append(f"  ratio  {result.ratio:.2f}")
    return "\n".join([*lines, f"  goal   {result.goal}"])


@contextmanager
def _servers(are_needed: bool) -> Iterator[Servers]:
    """Those that PULP_KAFKA and PULP_POSTGRES name; else a Kafka and a Postgres of its own, gone afterwards."""
    kafka, postgres = os.environ.get("PULP_KAFKA", ""), os.environ.get("PULP_POSTGRES", "")
    with TemporaryDirectory(prefix="pulp-bench-") as bytecode:
        if (kafka and postgres) or not are_needed:
            yield Servers(kafka, postgres, Path(bytecode))
            return
        stack = Stack(StackOptions.throwaway(), lambda line: click.echo(line, err=True))
        stack.up_backend()
        try:
            yield Servers(stack.backend.kafka, stack.backend.postgres, Path(bytecode))
        finally:
            stack.down()


if __name__ == "__main__":
    bench()
