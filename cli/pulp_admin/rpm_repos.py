"""`pulp-admin rpm repo list`, `create`, `update`, `delete`: options, words and pages of Pulp 2."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show

from pulp_admin import render
from pulp_admin.app import App, with_app
from pulp_admin.repo_changes import amend, make, take_away
from pulp_admin.repo_options import repo_id_option
from pulp_admin.repositories import ALL, COUNTS, page
from pulp_admin.rpm_options import rpm_options, said
from pulp_admin.screen import banner
from pulp_admin.start import watch_option


@click.command("list", epilog=examples("pulp-admin rpm repo list --details"))
@click.option("--details", is_flag=True, help="Also how each is fetched, and its last tasks.")
@click.option("--summary", is_flag=True, help="Only the ids and the names for people.")
@with_app
def list_(app: App, details: bool, summary: bool) -> None:
    """List the repositories: what they hold."""
    if details and summary:
        raise click.UsageError("The summary and details views cannot be used together.")
    banner(app, "RPM Repositories")
    found = list(app.client.pages(ALL))
    shown = _all_of if details else _least_of if summary else _usual_of
    show(app.output, found, lambda: _pages(found, shown))
    if not found and app.output == "table":
        hint("There is no repository yet. To make one: pulp-admin rpm repo create --repo-id ID --feed URL")


@click.command(epilog=examples("pulp-admin rpm repo create --repo-id zoo --feed http://127.0.0.1:8000/zoo/"))
@click.option("--repo-id", required=True, metavar="ID", help="The repository.")
@rpm_options
@with_app
def create(app: App, repo_id: str, **options: Any) -> None:
    """Make a repository."""
    make(app, repo_id, said(repo_id, options))


@click.command(epilog=examples("pulp-admin rpm repo update --repo-id zoo --display-name Zoo"))
@repo_id_option
@rpm_options
@with_app
def update(app: App, repo_id: str, **options: Any) -> None:
    """Change a repository: what is not given stays as it is."""
    amend(app, repo_id, said(repo_id, options))


@click.command(epilog=examples("pulp-admin rpm repo delete --repo-id zoo"))
@repo_id_option
@watch_option
@with_app
def delete(app: App, repo_id: str, watch: bool) -> None:
    """Delete a repository, its versions and its publications."""
    take_away(app, repo_id, watch=watch)


def _pages(found: list[dict[str, Any]], shown: Any) -> Iterator[str]:
    for repository in found:
        yield from render.document(shown(repository))
        yield ""


def _least_of(repository: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": repository["name"], "display_name": repository["display_name"] or repository["name"]}


def _usual_of(repository: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: repository["content"][name] for name in COUNTS if repository["content"].get(name)}
    return {
        **_least_of(repository),
        "description": repository["description"],
        "content_unit_counts": counts,
    }


def _all_of(repository: Mapping[str, Any]) -> dict[str, Any]:
    return {**_usual_of(repository), **{name: value for name, value in page(repository).items() if name not in COUNTS}}
