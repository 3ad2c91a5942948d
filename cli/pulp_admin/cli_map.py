"""`pulp-admin --map`: every section and command, as Pulp 2's client prints them."""

from collections.abc import Iterator
from typing import Any

import click
from pulp_console.output import text_of, wrap


def print_map(context: click.Context, _parameter: click.Parameter, is_asked: Any) -> None:
    """End the command line with the map, if it is asked for."""
    if is_asked and not context.resilient_parsing:
        click.echo(text_of(_below(context, "")), nl=False)
        context.exit()


def _below(context: click.Context, indent: str) -> Iterator[str]:
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield from wrap(f"{indent}{name}: ", command.get_short_help_str(1000))
        yield from _below(click.Context(command, info_name=name, parent=context), indent + "  ")
