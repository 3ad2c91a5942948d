"""Everything that depends on the terminal."""

import sys

import click
from pulp_console.escaping import plain
from pulp_console.output import hint, text_of, wrap

from pulp_admin import render
from pulp_admin.app import App


def terminal_width() -> int | None:
    """Return the terminal's columns; None if the output is not a terminal."""
    import shutil  # slow to import

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def banner(app: App, title: str) -> None:
    """Print the title of a page. Call it before the request, so that an error appears below it."""
    if app.output == "table":
        click.echo(text_of(render.banner(title)), nl=False)


def say(app: App, text: str) -> None:
    """Print a sentence of Pulp 2's client and a blank line on standard output, where scripts read it.

    With an output for programs, standard output has only data: the sentence goes to standard error.
    """
    if app.output in ("json", "yaml"):
        hint(text)
    else:
        click.echo(text_of([*wrap("", plain(text)), ""]), nl=False)
