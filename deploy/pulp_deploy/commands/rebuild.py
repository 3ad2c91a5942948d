"""`pulp-tasks rebuild`: the read model anew from the log, beside the live one."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from pulp_events.collecting import collect_seldom
from pulp_processor import activation, rebuild
from pulp_processor.compare import Comparison
from pulp_processor.rebuild_fill import Filler
from pulp_processor.rebuild_progress import Report
from pulp_processor.rebuild_state import Generation
from pulp_processor.settings import Settings

from pulp_deploy.commands.rebuild_display import Display
from pulp_deploy.commands.side_by_side import filling, processes_option
from pulp_deploy.commands.target import data_option, processor_settings

T = TypeVar("T")
_DIFFERENT: Final = 1
Build = Callable[[Settings, Report, Filler | None], Coroutine[Any, Any, int]]
activate_option: Final = click.option(
    "--activate", "activates", is_flag=True, help="Compare and activate it when it is built."
)


@click.group("rebuild", invoke_without_command=True)
@activate_option
@processes_option
@data_option
@click.pass_context
def rebuild_group(ctx: click.Context, activates: bool, processes: int, data: Path | None) -> None:
    """Build the read model anew from the log, compare it with the live one, and switch to it.

    Without a subcommand: start. Readers see nothing of a rebuild before it is activated; the generation before stays,
    so that rollback is at hand.

    \b
    Examples:
      pulp-tasks rebuild --activate             all in one: build, compare, switch
      pulp-tasks rebuild                        only build; then, when it suits:
      pulp-tasks rebuild verify                 is it what readers see now?
      pulp-tasks rebuild activate               switch to it
      pulp-tasks rebuild resume                 go on with one that was interrupted
      pulp-tasks rebuild verify --accept queue  differences in this column are wanted
      pulp-tasks rebuild rollback               back to the generation before
      pulp-tasks rebuild prune                  drop those that were active once
    """
    if ctx.invoked_subcommand is None:
        _build(processor_settings(data), activates, processes, rebuild.start)
        return
    if activates:
        raise click.UsageError("--activate stands alone, or after start or resume", ctx)
    ctx.default_map = {name: {"data": data, "processes": processes} for name in rebuild_group.commands}


@rebuild_group.command()
@activate_option
@processes_option
@data_option
def start(activates: bool, processes: int, data: Path | None) -> None:
    """Build the next generation from the start of the log. Can be cancelled, and resumed after a crash."""
    _build(processor_settings(data), activates, processes, rebuild.start)


@rebuild_group.command()
@activate_option
@processes_option
@data_option
def resume(activates: bool, processes: int, data: Path | None) -> None:
    """Go on with a rebuild that was interrupted, from where it was."""
    _build(processor_settings(data), activates, processes, rebuild.resume)


@rebuild_group.command()
@data_option
def cancel(data: Path | None) -> None:
    """Drop the generation that is built or ready. A process that builds it ends."""
    click.echo(f"generation {_run(rebuild.cancel(processor_settings(data)))}: cancelled and dropped")


@rebuild_group.command()
@data_option
def status(data: Path | None) -> None:
    """List the generations, and how far each is."""
    generations = _run(rebuild.status(processor_settings(data)))
    click.echo(f"{'GENERATION':>10}  {'STATUS':<10}{'EVENTS':>11}{'DONE':>7}  {'COMPARED':<17}  ACTIVATED")
    for generation in generations:
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
    if not _verify(processor_settings(data), accept).is_equal:
        raise click.exceptions.Exit(_DIFFERENT)


@rebuild_group.command()
@click.option("--unverified", is_flag=True, help="Even if it was not compared, or differs.")
@data_option
def activate(unverified: bool, data: Path | None) -> None:
    """Make the generation that is ready the active one, in one transaction."""
    _activate(processor_settings(data), unverified)


@rebuild_group.command()
@data_option
def rollback(data: Path | None) -> None:
    """Go back to the generation that was active before, brought up to date first."""
    with Display() as display:
        switched = _run(activation.rollback(processor_settings(data), display))
    click.echo(f"generation {switched.now} is active again; generation {switched.before} is kept")


@rebuild_group.command()
@data_option
def prune(data: Path | None) -> None:
    """Drop the generations that were active once. Nothing is left to roll back to."""
    dropped = _run(activation.prune(processor_settings(data)))
    click.echo(f"dropped: {', '.join(map(str, dropped))}" if dropped else "there is nothing to drop")


def _build(settings: Settings, activates: bool, processes: int, build: Build) -> None:
    try:
        with filling(processes) as filler, Display() as display:
            generation = _run(build(settings, display, filler))
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
    with Display() as display:
        found = _run(rebuild.verify(settings, accept=accept, report=display))
    for table, (active, other) in found.rows.items():
        click.echo(f"{table:<13} {active:>10} rows in the active generation {other:>10} in the other")
    for column, count in sorted(found.accepted.items()):
        click.echo(f"accepted: {column} differs in {count} rows")
    for column, count in sorted(found.differences.items()):
        click.echo(f"DIFFERENT: {column} in {count} rows")
    for example in found.examples:
        click.echo(f"  {example}")
    click.echo("equal" + (", but for what was accepted" if found.accepted else "") if found.is_equal else "not equal")
    return found


def _activate(settings: Settings, unverified: bool) -> None:
    with Display() as display:
        switched = _run(activation.activate(settings, display, unverified=unverified))
    click.echo(f"generation {switched.now} is active; generation {switched.before} is kept for a rollback")


def _row(generation: Generation) -> str:
    def time_of(at: Any) -> str:
        return at.strftime("%Y-%m-%d %H:%MZ") if at else "-"

    events = sum(generation.positions.values())
    done = f"{generation.percent:.0f} %"
    return (
        f"{generation.number:>10}  {generation.status:<10}{events:>11}{done:>7}  {time_of(generation.verified_at):<17}"
        f"  {time_of(generation.activated_at)}"
    )


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    collect_seldom()
    return asyncio.run(coroutine)
