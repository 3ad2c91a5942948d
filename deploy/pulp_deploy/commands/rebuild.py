"""`pulp-tasks rebuild`: rebuild the read model from the log, next to the live one."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.groups import Group, examples
from pulp_console.ids import TaskId, TaskIdType
from pulp_console.output import hint, show, table

from pulp_deploy.commands import comparison, generations
from pulp_deploy.commands.completing import columns
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.side_by_side import filling, processes_option
from pulp_deploy.commands.target import data_option, processor_settings
from pulp_deploy.exits import DIFFERENT

if TYPE_CHECKING:
    from pulp_processor.rebuilding.activation import Switched
    from pulp_processor.rebuilding.compare import Comparison
    from pulp_processor.rebuilding.fill import Filler
    from pulp_processor.rebuilding.progress import Report
    from pulp_processor.settings import Settings

    Build = Callable[[Settings, Report, Filler | None], Coroutine[Any, Any, int]]

T = TypeVar("T")
activate_option: Final = click.option(
    "--activate", "activates", is_flag=True, help="Compare and activate it once it is built."
)


@click.group(
    "rebuild",
    cls=Group,
    invoke_without_command=True,
    epilog=examples(
        "pulp-tasks rebuild --activate             build, compare, switch",
        "pulp-tasks rebuild                        build only; then:",
        "pulp-tasks rebuild verify                 is it what readers see now?",
        "pulp-tasks rebuild activate               switch to it",
        "pulp-tasks rebuild resume                 continue an interrupted one",
        "pulp-tasks rebuild verify --accept queue  this column may differ",
        "pulp-tasks rebuild rollback               back to the one before",
        "pulp-tasks rebuild prune                  drop those of the past",
        "pulp-tasks rebuild --task ID              heal the rows of one task",
        "pulp-tasks rebuild --task ID --dry-run    only show what differs",
    ),
)
@activate_option
@click.option(
    "--task", type=TaskIdType(), metavar="ID", help="Heal this task: replace its rows with what its events give."
)
@click.option("--dry-run", "is_dry", is_flag=True, help="With --task: show what differs, and change nothing.")
@processes_option
@data_option
@output_option
@click.pass_context
def rebuild_group(
    ctx: click.Context,
    activates: bool,
    task: TaskId | None,
    is_dry: bool,
    processes: int,
    data: Path | None,
    output: str,
) -> None:
    """Rebuild the read model from the log, and switch to it.

    The new generation is compared with the live one first. Without a subcommand, it runs start. Readers do not see a
    rebuild until it is activated. The previous generation is kept for a rollback.
    """
    if task is not None:
        if ctx.invoked_subcommand is not None or activates:
            raise click.UsageError("--task stands alone, or with --dry-run", ctx)
        _heal(task, is_dry, data, output)
        return
    if is_dry:
        raise click.UsageError("--dry-run belongs to --task", ctx)
    if ctx.invoked_subcommand is None:
        _build("start", data, activates, processes, output)
        return
    if activates:
        raise click.UsageError("--activate stands alone, or after start or resume", ctx)
    given = {"data": data, "processes": processes, "output": output}
    ctx.default_map = {name: given for name in rebuild_group.commands}


@rebuild_group.command(epilog=examples("pulp-tasks rebuild start --activate"))
@activate_option
@processes_option
@data_option
@output_option
def start(activates: bool, processes: int, data: Path | None, output: str) -> None:
    """Build the next generation from the start of the log.

    You can cancel it, and resume it after a crash.
    """
    _build("start", data, activates, processes, output)


@rebuild_group.command(epilog=examples("pulp-tasks rebuild resume --activate"))
@activate_option
@processes_option
@data_option
@output_option
def resume(activates: bool, processes: int, data: Path | None, output: str) -> None:
    """Continue an interrupted rebuild from where it stopped."""
    _build("resume", data, activates, processes, output)


@rebuild_group.command(epilog=examples("pulp-tasks rebuild cancel"))
@data_option
@output_option
def cancel(data: Path | None, output: str) -> None:
    """Drop the generation that is being built or is ready.

    The process that builds it ends.
    """
    from pulp_processor.rebuilding import rebuild

    number = _run(rebuild.cancel(processor_settings(data)))
    show(output, {"dropped": [number]}, lambda: [f"generation {number}: cancelled and dropped"])


@rebuild_group.command(epilog=examples("pulp-tasks rebuild status"))
@data_option
@output_option
def status(data: Path | None, output: str) -> None:
    """List the generations, and how far each has got."""
    from pulp_processor.rebuilding import rebuild

    found = _run(rebuild.status(processor_settings(data)))
    report = [generations.as_value(each) for each in found]
    show(output, report, lambda: table([generations.row(each) for each in report], generations.ROW))


@rebuild_group.command(epilog=examples("pulp-tasks rebuild verify --accept tasks.queue"))
@click.option(
    "--accept",
    multiple=True,
    metavar="COLUMN",
    shell_complete=columns,
    help="A column that may differ, as COLUMN or TABLE.COLUMN; may be repeated.",
)
@data_option
@output_option
def verify(accept: tuple[str, ...], data: Path | None, output: str) -> None:
    """Compare the generation that is ready with the active one.

    It compares row by row. Exits 1 if they differ.
    """
    found = _compare(processor_settings(data), accept)
    show(output, comparison.as_value(found), lambda: generations.compared(found))
    if not found.is_equal:
        raise click.exceptions.Exit(DIFFERENT)


@rebuild_group.command(epilog=examples("pulp-tasks rebuild activate"))
@click.option("--unverified", is_flag=True, help="Even if it was not compared, or differs.")
@data_option
@output_option
def activate(unverified: bool, data: Path | None, output: str) -> None:
    """Activate the generation that is ready.

    This takes one transaction, and a rollback can undo it.
    """
    switched = _activate(processor_settings(data), unverified=unverified)
    show(output, generations.switch(switched), lambda: [generations.activated(switched)])


@rebuild_group.command(epilog=examples("pulp-tasks rebuild rollback"))
@data_option
@output_option
def rollback(data: Path | None, output: str) -> None:
    """Return to the generation that was active before.

    That generation is brought up to date first.
    """
    from pulp_processor.rebuilding import activation

    from pulp_deploy.commands.rebuild_display import Display

    with Display() as display:
        switched = _run(activation.rollback(processor_settings(data), display))
    line = f"generation {switched.now} is active again; generation {switched.before} is kept"
    show(output, generations.switch(switched), lambda: [line])


@rebuild_group.command(epilog=examples("pulp-tasks rebuild prune --yes"))
@yes_option
@data_option
@output_option
def prune(is_sure: bool, data: Path | None, output: str) -> None:
    """Drop the generations that were active in the past. Asks first: no rollback is possible afterwards."""
    from pulp_processor.rebuilding import activation, rebuild

    settings = processor_settings(data)
    retired = [str(each.number) for each in _run(rebuild.status(settings)) if each.status == "retired"]
    if retired:
        numbers = f"generation{'s' if len(retired) > 1 else ''} {', '.join(retired)}"
        confirm(f"Drop {numbers}? No rollback is possible afterwards.", is_sure=is_sure)
    dropped = _run(activation.prune(settings))
    line = f"dropped: {', '.join(map(str, dropped))}" if dropped else "there is nothing to drop"
    show(output, {"dropped": dropped}, lambda: [line])


def _build(action: str, data: Path | None, activates: bool, processes: int, output: str) -> None:
    """Start or resume; with `activates`, compare and switch as well. Reports each step when it is done."""
    from pulp_processor.rebuilding import rebuild  # before processes are forked, so that they share the imports

    from pulp_deploy.commands.rebuild_display import Display

    settings = processor_settings(data)
    build: Build = rebuild.start if action == "start" else rebuild.resume
    reporter = generations.StepReporter(output)
    try:
        with filling(processes) as filler, Display() as display:
            reporter.built(_run(build(settings, display, filler)))
    except KeyboardInterrupt:
        hint("interrupted: pulp-tasks rebuild resume continues it, pulp-tasks rebuild cancel drops it")
        raise
    if not activates:
        hint("next: pulp-tasks rebuild verify, then pulp-tasks rebuild activate")
    elif reporter.compared(_compare(settings, ())):
        reporter.activated(_activate(settings, unverified=False))
    reporter.end()


def _heal(task: TaskId, is_dry: bool, data: Path | None, output: str) -> None:
    from uuid import UUID

    from pulp_processor.rebuilding import heal

    from pulp_deploy.commands import healing
    from pulp_deploy.commands.rebuild_display import Display

    if not task.is_whole:
        raise click.UsageError(f"--task: the whole id is needed, not its beginning {task.text}")
    settings = processor_settings(data)
    act = heal.look if is_dry else heal.heal
    with Display(patience_s=healing.PATIENCE_S) as display:
        found = _run(act(settings, UUID(task.text), display))
    is_published = False
    if found.is_replaced:
        healing.audit(data, found)
        is_published = healing.publish(settings, found)
    show(output, healing.as_value(found, is_published), lambda: healing.page(found, is_published))
    if is_dry and found.differences:
        raise click.exceptions.Exit(DIFFERENT)


def _compare(settings: "Settings", accept: tuple[str, ...]) -> "Comparison":
    from pulp_processor.rebuilding import rebuild

    from pulp_deploy.commands.rebuild_display import Display

    with Display() as display:
        return _run(rebuild.verify(settings, accept=accept, report=display))


def _activate(settings: "Settings", *, unverified: bool) -> "Switched":
    from pulp_processor.rebuilding import activation

    from pulp_deploy.commands.rebuild_display import Display

    with Display() as display:
        return _run(activation.activate(settings, display, unverified=unverified))


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    from pulp_processor.consuming import internals
    from pulp_runtime.gc_tuning import collect_seldom

    internals.install()
    collect_seldom()
    return asyncio.run(coroutine)
