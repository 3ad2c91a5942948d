"""`./dev faults`: runs the whole system under faults for a given time."""

import asyncio
import contextlib
import logging
import secrets
import sys
import time
from pathlib import Path

import click

from tests.faults.arena import Arena
from tests.faults.catalogue import BY_NAME, FAULTS
from tests.faults.episodes import episodes
from tests.faults.report import Live, missed, print_report
from tests.faults.runner import Outcome, Runner
from tests.faults.size import Size, size_of
from tests.faults.stage import Fault


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(0.5), default=10, show_default=True, help="How long faults come.")
@click.option("--seed", type=int, help="Of an earlier run, to have the same load and faults again; else a random one.")
@click.option("--only", "names", multiple=True, help="This fault alone, again and again; may be given more than once.")
@click.option("--workers", type=click.IntRange(1, 64), help="How many; by default the seed chooses 3, 8 or 32.")
@click.option("--list", "listing", is_flag=True, help="List the faults.")
@click.option(
    "--keep", type=click.Path(path_type=Path, exists=False), help="A new folder for data and logs, to look at later."
)
def main(
    minutes: float,
    seed: int | None,
    names: tuple[str, ...],
    workers: int | None,
    listing: bool,
    keep: Path | None,
) -> None:
    """Run the whole system (three brokers, Postgres, services) under a realistic load, and break it.

    Each fault comes alone first, then two or three at once. At the end, everything that clients saw and everything in
    Postgres and in the API is compared with the log. The exit status is 0 exactly if all of it agrees.
    """
    if listing:
        for fault in FAULTS:
            click.echo(fault.name)
        return
    for name in names:
        if name not in BY_NAME:
            raise click.BadParameter(f"there is no fault {name!r}: --list shows them", param_hint="--only")
    logging.disable(logging.CRITICAL)  # processes end all the time here
    seed = secrets.randbelow(10**9) if seed is None else seed
    chosen = [BY_NAME[name] for name in names] or list(FAULTS)
    size = size_of(seed) if workers is None else Size(workers)
    outcome = asyncio.run(run(seed, size, chosen, minutes * 60, alone=bool(names), kept=keep))
    print_report(outcome)
    if outcome.state.ledger.breaches or missed(outcome):
        same = f"--seed {seed} --minutes {minutes:g}{'' if workers is None else f' --workers {workers}'}"
        click.echo(f"the same load and faults again: ./dev faults {same}")
        sys.exit(1)


async def run(
    seed: int, size: Size, faults: list[Fault], seconds: float, *, alone: bool, kept: Path | None = None
) -> Outcome:
    """Run on an arena of its own. Once there is an outcome, an error while the arena shuts down is a breach."""
    live = Live()
    live.say(f"seed {seed}, {seconds / 60:g} minutes, {size.workers} workers, slots of each: {size.slots}")
    outcomes: list[Outcome] = []
    try:
        await _run(live, outcomes, seed, size, faults, seconds, alone=alone, kept=kept)
    except Exception as error:
        if not outcomes:
            raise
        outcomes[0].state.ledger.breach("faults", "the arena's end", f"{type(error).__name__}: {error}")
    return outcomes[0]


async def _run(
    live: Live,
    outcomes: list[Outcome],
    seed: int,
    size: Size,
    faults: list[Fault],
    seconds: float,
    *,
    alone: bool,
    kept: Path | None,
) -> None:
    async with Arena(live.say, size, kept) as arena:
        possible = []
        for fault in faults:
            reason = fault.impossible(arena)
            if reason is None:
                possible.append(fault)
            else:
                live.say(f"not possible here: {fault.name}: {reason}")
        runner = Runner(arena, seed, live.say)
        showing = asyncio.create_task(_show(live, runner))
        try:
            plan = episodes(seed, possible, alone=alone)
            outcomes.append(await runner.run(plan, seconds, quiet_s=max(10.0, seconds / 30)))
        finally:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing


async def _show(live: Live, runner: Runner) -> None:
    doing, since = "", time.monotonic()
    while True:
        if runner.doing != doing:
            doing, since = runner.doing, time.monotonic()
        live.show(runner, time.monotonic() - since)
        await asyncio.sleep(1)


if __name__ == "__main__":
    main()
