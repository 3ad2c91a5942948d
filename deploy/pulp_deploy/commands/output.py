"""The option `--output` of every command that prints data, before or after the command's name."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from pulp_console.groups import Choice
from pulp_console.output import OUTPUTS

F = TypeVar("F", bound=Callable[..., Any])


def output_option(command: F) -> F:
    """Adds `--output`. The command gets its value, or the one before its name, as `output`."""
    option = click.option("--output", type=Choice(OUTPUTS), callback=_chosen, help="Output format.")
    return option(command)


def _chosen(context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    return value or str(context.find_root().params.get("output", OUTPUTS[0]))
