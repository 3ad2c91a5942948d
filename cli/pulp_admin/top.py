"""`pulp-admin top`: tasks, queues and workers, live on a terminal."""

import sys
from typing import Final

import click
from pulp_console.exits import CONFIG, USAGE
from pulp_console.groups import examples

from pulp_admin.app import App
from pulp_admin.errors import Failure

_FOR_SCRIPTS: Final = (
    "For scripts: pulp-admin --output json tasks list, pulp-admin --output json queue, pulp-admin --output json workers"
)
_MISSING: Final = "top draws with the package textual, which is not installed: python -m pip install 'pulp-admin[top]'"


@click.command(epilog=examples("pulp-admin top", "pulp-admin top --all"))
@click.option("--all", "-a", "show_all", is_flag=True, help="Include the newest 100 tasks that have ended.")
@click.pass_obj
def top(app: App, show_all: bool) -> None:
    """Show tasks, queues and workers, live, until you press q.

    Running tasks come first, then waiting ones, oldest first. It follows the server's events, and continues across a
    restart of the server. The last line shows the keys; ? explains them.
    """
    if app.output != "table":
        raise click.UsageError(f"top draws a screen and has no --output {app.output}. {_FOR_SCRIPTS}")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure(f"top needs a terminal for its input and its output.\n{_FOR_SCRIPTS}", USAGE)
    try:
        from pulp_admin.top_screen import TopScreen
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "textual":
            raise
        raise Failure(_MISSING, CONFIG) from None
    from pulp_admin.top_feed import TopFeed

    feed = TopFeed(app.client, shows_all=show_all)
    # A wrong password or address is reported on the plain terminal, not on a screen that disappears.
    screen = TopScreen(feed, app.client.url, first=feed.look(), may_cancel=feed.may_cancel())
    failure = screen.run()
    if failure is not None:
        raise failure
