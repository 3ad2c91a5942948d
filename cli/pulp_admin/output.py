"""Writing to the terminal, or to what stands in its place."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pulp_admin.render import text_of, wrap

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
    """Columns as wide as their widest cell, two blanks apart, the last one wrapped; no line ends in a blank."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header) - 1)]
    lines = []
    for row in (header, *rows):
        head = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
        lines += wrap(head, row[-1])
    return lines


def hint(text: str) -> None:
    """A remark that is no part of the output."""
    click.echo(text, err=True)


def failed(text: str, *, to_stdout: bool = False) -> None:
    """A message of failure: red on a terminal."""
    stream = sys.stdout if to_stdout else sys.stderr
    is_plain = to_stdout or not stream.isatty() or "NO_COLOR" in os.environ
    click.echo(text if is_plain else click.style(text, fg="red"), err=not to_stdout)


def write_log(folder: Path) -> Path | None:
    """Add the error that is being handled to the client's log file; its path, or None if it cannot be written."""
    path = folder / "admin.log"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {traceback.format_exc()}")
    except OSError:
        return None
    return path
