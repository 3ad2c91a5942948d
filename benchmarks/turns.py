"""`./dev run python -m benchmarks.turns CHECKOUT NAME…`: measures of this checkout and of another one, in turns.

For a change of the code: both sides meet the same machine within minutes, and use the same Kafka and Postgres.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import click

from benchmarks.__main__ import MEASURES, servers_of

_HERE: Final = Path(__file__).parents[1]


@click.command(help="Run measures NAME of this checkout and of the one in the folder CHECKOUT, in turns.")
@click.argument("checkout", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=click.Choice(list(MEASURES)))
@click.option("--turns", "rounds", type=click.IntRange(1), default=3, show_default=True, help="How many of each side.")
@click.option("--quick", is_flag=True, help="Small sizes: whether it runs, not how fast.")
def turns(checkout: Path, names: tuple[str, ...], rounds: int, quick: bool) -> None:
    """See the command's help."""
    needs_servers = any(MEASURES[name].needs_servers for name in names)
    with servers_of(needs_servers) as servers, TemporaryDirectory(prefix="pulp-turns-") as folder:
        given = {"PULP_KAFKA": servers.kafka, "PULP_POSTGRES": servers.postgres} if needs_servers else {}
        found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for number in range(rounds):
            sides = (_HERE, checkout.resolve()) if number % 2 == 0 else (checkout.resolve(), _HERE)
            for name in names:
                values = {side: _measured(side, name, given, Path(folder), is_quick=quick) for side in sides}
                for metric in values[_HERE].keys() & values[checkout.resolve()].keys():
                    found[metric].append((values[_HERE][metric], values[checkout.resolve()][metric]))
                click.echo(f"turn {number + 1} of {rounds}: {name}", err=True)
    for metric, pairs in found.items():
        ratios = [ours / theirs for ours, theirs in pairs if theirs]
        told = " ".join(f"{ratio:.2f}" for ratio in ratios)
        ours, theirs = median(each[0] for each in pairs), median(each[1] for each in pairs)
        ratio = f"{median(ratios):.2f}" if ratios else "none"
        click.echo(f"{metric}: {ours:,.3g} here, {theirs:,.3g} there; ratio {ratio} (of the rounds: {told})")


def _measured(side: Path, name: str, given: dict[str, str], folder: Path, *, is_quick: bool) -> dict[str, float]:
    """One turn of one side, by its own environment: the median of each metric in the measure's own rounds."""
    file = folder / "results.json"
    command = [str(side / "dev"), "bench", name, "--json", str(file), *(["--quick"] if is_quick else [])]
    own = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    run = subprocess.run(command, cwd=side, env={**own, **given}, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stderr}")
    return {result["name"]: result["ours"]["median"] for result in json.loads(file.read_text())}


if __name__ == "__main__":
    turns()
