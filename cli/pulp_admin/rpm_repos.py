"""`pulp-admin rpm repo list`, `create`, `update`, `delete`: options, words and pages of Pulp 2."""

from typing import Any

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show

from pulp_admin.app import App, with_app
from pulp_admin.pulp2_repos import PageOptions, documents, page_options
from pulp_admin.repo_changes import amend, make, take_away
from pulp_admin.repo_options import new_repo_id_option, repo_id_option
from pulp_admin.repositories import ALL
from pulp_admin.rpm_options import rpm_options, said
from pulp_admin.screen import banner
from pulp_admin.start import watch_option


@click.command("list", epilog=examples("pulp-admin rpm repo list --details"))
@click.option(
    "--all", "-a", is_flag=True, expose_value=False, help="Also repositories of other types; there are none here."
)
@page_options
@with_app
def list_(app: App, **options: Any) -> None:
    """List the repositories and what they hold."""
    of_page = PageOptions.of(options)
    banner(app, "RPM Repositories")
    found = list(app.client.pages(ALL))
    show(app.output, found, lambda: documents(found, of_page))
    if not found and app.output == "table":
        hint("There is no repository yet. To make one: pulp-admin rpm repo create --repo-id ID --feed URL")


@click.command(epilog=examples("pulp-admin rpm repo create --repo-id zoo --feed http://127.0.0.1:8000/zoo/"))
@new_repo_id_option
@rpm_options
@with_app
def create(app: App, repo_id: str, **options: Any) -> None:
    """Create a repository."""
    make(app, repo_id, said(repo_id, options))


@click.command(epilog=examples("pulp-admin rpm repo update --repo-id zoo --display-name Zoo"))
@repo_id_option
@rpm_options
@with_app
def update(app: App, repo_id: str, **options: Any) -> None:
    """Change a repository. Options left out stay as they are."""
    amend(app, repo_id, said(repo_id, options))


@click.command(epilog=examples("pulp-admin rpm repo delete --repo-id zoo"))
@repo_id_option
@watch_option
@with_app
def delete(app: App, repo_id: str, watch: bool) -> None:
    """Delete a repository, its versions and its publications."""
    take_away(app, repo_id, watch=watch)
