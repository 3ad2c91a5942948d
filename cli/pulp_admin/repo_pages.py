"""`pulp-admin repo list` and `repo show`."""

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table

from pulp_admin import completing, render
from pulp_admin.app import App, with_app
from pulp_admin.repositories import ALL, find, page, run_text

_HEAD = ("REPOSITORY", "PACKAGES", "ERRATA", "GROUPS", "VERSION", "LAST SYNC", "LAST PUBLISH")


@click.command("list", epilog=examples("pulp-admin repo list", "pulp-admin repo list --output json"))
@with_app
def list_(app: App) -> None:
    """List the repositories, what they hold, and their last tasks."""
    found = list(app.client.pages(ALL))
    rows = [
        [
            row["name"],
            *(str(row["content"].get(name, "-")) for name in ("packages", "errata", "package_groups")),
            "-" if row["version"] is None else str(row["version"]),
            run_text(row["last_sync"]),
            run_text(row["last_publish"]),
        ]
        for row in found
    ]
    show(app.output, found, lambda: table(rows, _HEAD, width=None))
    if not found:
        hint("There is no repository yet. To make one: pulp-admin repo create --repo-id ID --feed URL")


@click.command("show", epilog=examples("pulp-admin repo show --repo-id zoo"))
@click.option("--repo-id", required=True, metavar="ID", shell_complete=completing.repositories, help="The repository.")
@with_app
def show_one(app: App, repo_id: str) -> None:
    """Show a repository.

    Its feed and options, what it holds, how its last tasks ended.
    """
    found = find(app.client, repo_id)
    show(app.output, found, lambda: render.document(page(found), gap=2))
