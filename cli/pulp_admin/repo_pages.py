"""`pulp-admin repo list` and `repo show`."""

from typing import Any

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table

from pulp_admin import render
from pulp_admin.app import App, with_app
from pulp_admin.pulp2_repos import PageOptions, documents, page_options
from pulp_admin.repo_options import repo_id_option
from pulp_admin.repositories import ALL, find, page, run_text
from pulp_admin.screen import banner

_HEAD = ("REPOSITORY", "PACKAGES", "ERRATA", "GROUPS", "VERSION", "LAST SYNC", "LAST PUBLISH")


@click.command("list", epilog=examples("pulp-admin repo list", "pulp-admin repo list --output json"))
@page_options
@with_app
def list_(app: App, **options: Any) -> None:
    """List the repositories, what they hold, and their last tasks.

    With --details, --summary or --fields it prints a document for each, as Pulp 2 does.
    """
    of_page = PageOptions.of(options)
    if of_page.are_given:
        banner(app, "Repositories")
    found = list(app.client.pages(ALL))
    if of_page.are_given:
        show(app.output, found, lambda: documents(found, of_page))
        return
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
@repo_id_option
@with_app
def show_one(app: App, repo_id: str) -> None:
    """Show a repository.

    Its feed and options, what it holds, and how its last tasks ended.
    """
    found = find(app.client, repo_id)
    show(app.output, found, lambda: render.document(page(found), gap=2))
