"""`pulp-admin repo create`, `repo update`, `repo remove`."""

from collections.abc import Mapping
from typing import Any

import click
from pulp_console.groups import examples
from pulp_console.output import show

from pulp_admin.app import App, with_app
from pulp_admin.paths import id_in
from pulp_admin.repo_options import new_repo_id_option, repo_id_option, said, said_options
from pulp_admin.repositories import ALL, find, path_of
from pulp_admin.start import tell_accepted, watch_option


@click.command(epilog=examples("pulp-admin repo create --repo-id zoo --feed https://example.org/zoo/"))
@new_repo_id_option
@said_options
@with_app
def create(app: App, repo_id: str, **options: Any) -> None:
    """Create a repository, with the options for its syncs.

    The first `repo sync run` creates one as well. These options apply to every later sync and publish that does not
    override them.
    """
    make(app, repo_id, said(app.client, options))


@click.command(epilog=examples("pulp-admin repo update --repo-id zoo --mirror --note team=keepers"))
@repo_id_option
@said_options
@with_app
def update(app: App, repo_id: str, **options: Any) -> None:
    """Change a repository. Options left out stay as they are."""
    amend(app, repo_id, said(app.client, options))


@click.command(epilog=examples("pulp-admin repo remove --repo-id zoo"))
@repo_id_option
@watch_option
@with_app
def remove(app: App, repo_id: str, watch: bool) -> None:
    """Remove a repository, its versions and its publications.

    A task removes it, after the repository's unfinished tasks. Packages that no other repository holds become orphans:
    `pulp-admin orphan remove --all` deletes them.
    """
    take_away(app, repo_id, watch=watch)


def make(app: App, repo_id: str, body: Mapping[str, Any]) -> None:
    """Create a repository, and print what Pulp 2 prints."""
    made = app.client.create(ALL, {"name": repo_id, **body})
    show(app.output, made, lambda: [f"Repository [{repo_id}] successfully created"])


def amend(app: App, repo_id: str, body: Mapping[str, Any]) -> None:
    """Change a repository, and print what Pulp 2 prints."""
    if not body:
        raise click.UsageError("Nothing is to be changed: give at least one option besides --repo-id.")
    changed = app.client.change(path_of(find(app.client, repo_id)), body)
    show(app.output, changed, lambda: [f"Repository [{repo_id}] successfully updated"])


def take_away(app: App, repo_id: str, *, watch: bool) -> None:
    """Remove a repository, and print the guide's message for a submitted task."""
    accepted = app.client.delete(path_of(find(app.client, repo_id)))
    tell_accepted(app, id_in(accepted["task"]), watch=watch)
