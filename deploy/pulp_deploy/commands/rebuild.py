"""`pulp-tasks rebuild`: the read model anew from the log, beside the live one."""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from pulp_processor import activation, rebuild
from pulp_processor.compare import Comparison
from pulp_processor.rebuild_progress import Phase, Progress
from pulp_processor.rebuild_state import Generation
from pulp_processor.settings import Settings

from pulp_deploy.commands.target import Target, data_option

T = TypeVar("T")
_DIFFERENT: Final = 1
_LINE_EVERY_S: Final = 5.0


@click.group("rebuild", invoke_without_command=True)
@click.pass_context
def rebuild_group(ctx: click.Context) -> None:
    """Build the read model anew from the log, compare it with the live one, and switch to it.

    Without a subcommand: start. Readers see nothing of a rebuild before it is activated; the generation before stays,
    so that rollback is at hand.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(start)


@rebuild_group.command()
@click.option("--activate", "activates", is_flag=True, help="Compare and activate it when it is built.")
@data_option
def start(activates: bool = False, data: Path | None = None) -> None:
    """Build the next generation from the start of the log. Can be cancelled, and resumed after a crash."""
    _build(_settings(data), activates, rebuild.start)


@rebuild_group.command()
@click.option("--activate", "activates", is_flag=True, help="Compare and activate it when it is built.")
@data_option
def resume(activates: bool, data: Path | None) -> None:
    """Go on with a rebuild that was interrupted, from where it was."""
    _build(_settings(data), activates, rebuild.resume)


@rebuild_group.command()
@data_option
def cancel(data: Path | None) -> None:
    """Drop the generation that is built or ready. A process that builds it ends."""
    click.echo(f"generation {_run(rebuild.cancel(_settings(data)))}: cancelled and dropped")


@rebuild_group.command()
@data_option
def status(data: Path | None) -> None:
    """List the generations, and how far each is."""
    click.echo(
        f"{'GENERATION':>10}  {'STATUS':<9}{'EVENTS':>14}{'DONE':>8}  {'COMPARED':<20}  {'ACTIVATED':<20}".rstrip()
    )
    for generation in _run(rebuild.status(_settings(data))):
        click.echo(_row(generation))


@rebuild_group.command()
@click.option(
    "--accept",
    multiple=True,
    metavar="COLUMN",
    help="A column whose differences are wanted, as COLUMN or TABLE.COLUMN; may be repeated.",
)
@data_option
def verify(accept: tuple[str, ...], data: Path | None) -> None:
    """Compare the generation that is ready with the active one, row by row. Exits 1 if they differ."""
    if not _verify(_settings(data), accept).is_equal:
        raise click.exceptions.Exit(_DIFFERENT)


@rebuild_group.command()
@click.option("--unverified", is_flag=True, help="Even if it was not compared, or differs.")
@data_option
def activate(unverified: bool, data: Path | None) -> None:
    """Make the generation that is ready the active one, in one transaction."""
    _activate(_settings(data), unverified)


@rebuild_group.command()
@data_option
def rollback(data: Path | None) -> None:
    """Go back to the generation that was active before, brought up to date first."""
    with _Display() as display:
        switched = _run(activation.rollback(_settings(data), display))
    click.echo(f"generation {switched.now} is active again; generation {switched.before} is kept")


@rebuild_group.command()
@data_option
def prune(data: Path | None) -> None:
    """Drop the generations that were active once. Nothing is left to roll back to."""
    dropped = _run(activation.prune(_settings(data)))
    click.echo(f"dropped: {', '.join(map(str, dropped))}" if dropped else "there is nothing to drop")


def _build(settings: Settings, activates: bool, build: Any) -> None:
    try:
        with _Display() as display:
            generation = _run(build(settings, display))
    except KeyboardInterrupt:
        click.echo("interrupted: pulp-tasks rebuild resume goes on, pulp-tasks rebuild cancel drops it", err=True)
        raise
    click.echo(f"generation {generation} is ready")
    if not activates:
        click.echo("next: pulp-tasks rebuild verify, then pulp-tasks rebuild activate")
        return
    if not _verify(settings, ()).is_equal:
        raise click.exceptions.Exit(_DIFFERENT)
    _activate(settings, unverified=False)


def _verify(settings: Settings, accept: tuple[str, ...]) -> Comparison:
    with _Display() as display:
        found = _run(rebuild.verify(settings, accept=accept, report=display))
    for table, (active, other) in found.rows.items():
        click.echo(f"{table:<13} {active:>12} rows in the active generation {other:>12} in the other")
    for column, count in sorted(found.accepted.items()):
        click.echo(f"accepted: {column} differs in {count} rows")
    for column, count in sorted(found.differences.items()):
        click.echo(f"DIFFERENT: {column} in {count} rows")
    for example in found.examples:
        click.echo(f"  {example}")
    click.echo("equal" + (", but for what was accepted" if found.accepted else "") if found.is_equal else "not equal")
    return found


def _activate(settings: Settings, unverified: bool) -> None:
    with _Display() as display:
        switched = _run(activation.activate(settings, display, unverified=unverified))
    click.echo(f"generation {switched.now} is active; generation {switched.before} is kept for a rollback")


def _row(generation: Generation) -> str:
    def time_of(at: Any) -> str:
        return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else "-"

    events = sum(generation.positions.values())
    done = f"{generation.percent:.0f} %"
    return (
        f"{generation.number:>10}  {generation.status:<9}{events:>14}{done:>8}  {time_of(generation.verified_at):<20}"
        f"  {time_of(generation.activated_at)}"
    )


class _Display:
    """Shows progress on standard error: one line that changes on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown_at_s = float("-inf")
        self._phase: Phase | None = None

    def __enter__(self) -> "_Display":
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal and self._phase is not None:
            click.echo("\r\x1b[K", nl=False, err=True)

    def __call__(self, progress: Progress) -> None:
        """Show it."""
        if self._is_terminal:
            click.echo(f"\r\x1b[K{_line(progress)}", nl=False, err=True)
        elif self._is_due(progress):
            self._shown_at_s = time.monotonic()
            click.echo(_line(progress), err=True)
        self._phase = progress.phase

    def _is_due(self, progress: Progress) -> bool:
        is_whole = 0 < progress.done == progress.total
        return is_whole or progress.phase is not self._phase or time.monotonic() - self._shown_at_s >= _LINE_EVERY_S


def _line(progress: Progress) -> str:
    if not progress.total:
        return progress.phase
    left = "" if progress.left_s is None else f"  {progress.left_s:.0f} s left"
    return (
        f"{progress.phase}  {progress.percent:.1f} %  {progress.done:,} of {progress.total:,} events"
        f"  {progress.rate:,.0f}/s{left}"
    )


def _settings(data: Path | None) -> Settings:
    target = Target.find(data)
    given = {
        "PULP_KAFKA": target.need_kafka(),
        "PULP_POSTGRES": target.need_postgres(),
        "PULP_TOPIC_PREFIX": target.prefix,
    }
    return Settings.read({**os.environ, **given})


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)
