"""Writing to the terminal, or to what stands in its place."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from pulp_admin.render import text_of

OUTPUTS = ("table", "json", "yaml")


def show(output: str, value: Any, lines: Callable[[], Iterable[str]]) -> None:
    """Write `value` as JSON or YAML, or the lines of its page."""
    if output == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    elif output == "yaml":
        import yaml  # it is slow to load, and rarely wanted

        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(text_of(lines()), nl=False)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[str]:
    """Columns as wide as their widest cell, two blanks apart; no line ends in a blank."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]


def hint(text: str) -> None:
    """A remark that is no part of the output."""
    click.echo(text, err=True)


def failed(text: str, *, to_stdout: bool = False) -> None:
    """A message of failure: red on a terminal."""
    stream = sys.stdout if to_stdout else sys.stderr
    is_plain = to_stdout or not stream.isatty() or "NO_COLOR" in os.environ
    click.echo(text if is_plain else click.style(text, fg="red"), err=not to_stdout)
