"""What depends on the terminal that is written to."""

import sys

import click
from pulp_console.output import text_of

from pulp_admin import render
from pulp_admin.app import App


def terminal_width() -> int | None:
    """The columns of the terminal; None where the output goes elsewhere, and need not fit."""
    import shutil  # slow to import

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def banner(app: App, title: str) -> None:
    """Print the title of a page. Call it before the request, so that an error appears below it."""
    if app.output == "table":
        click.echo(text_of(render.banner(title)), nl=False)
