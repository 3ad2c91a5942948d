"""`pulp-tasks logs`: the logs of a stack's processes."""

from itertools import chain
from pathlib import Path

import click
from pulp_console.groups import examples, suggestion
from pulp_console.output import check_reader, show_next

from pulp_deploy.commands.completing import log_names
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import stack_folder, stack_option


@click.command(epilog=examples("pulp-tasks logs worker -f", "pulp-tasks logs -n 1000 --output json | jq -r .line"))
@click.argument("name", required=False, shell_complete=log_names)
@stack_option
@click.option("-f", "--follow", is_flag=True, help="Continue with what is written from now on.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="How many last lines of each to show.",
)
@output_option
def logs(name: str | None, data: Path | None, follow: bool, lines: int, output: str) -> None:
    """Show the logs of all processes, or that of NAME.

    It merges them by time. With --output json each line is a JSON object (JSON Lines).
    """
    from pulp_deploy import log_files

    files = _files(stack_folder(data).logs, name)
    prefix = {each: f"{each:<12}| " if len(files) > 1 else "" for each in files}
    so_far, ends = log_files.last_lines(files, lines)
    for batch in chain([so_far], log_files.follow(files, ends) if follow else []):
        check_reader()
        for line in batch:
            value = {"time": line.at or None, "process": line.name, "line": line.text}
            shown = log_files.for_people(line.text)
            show_next(output, value, "\n".join(prefix[line.name] + each for each in shown))


def _files(folder: Path, name: str | None) -> dict[str, Path]:
    """The log of each process, or of the one that is named."""
    from pulp_deploy.errors import NotRunning

    files = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if not files:
        raise NotRunning(f"there are no logs in {folder}: start a stack with: pulp-tasks up --data {folder.parent}")
    if name is not None and name not in files:
        message = f"there is no log of {name} in {folder}: the names are {', '.join(files)}.{suggestion(name, files)}"
        raise click.BadParameter(message, param_hint="'NAME'")
    return files if name is None else {name: files[name]}
