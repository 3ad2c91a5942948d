"""`pulp-admin repo sync run`, `repo publish run`, `repo repair`."""

import click
from pulp_console.groups import Group, examples

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.options import REPOSITORY_ID
from pulp_admin.repo_options import (
    compression_option,
    credential_option,
    given,
    metadata_option,
    mode_of,
    mode_option,
    repo_id_option,
)
from pulp_admin.repo_status import status_command
from pulp_admin.start import accepted, watch_option

_FETCH = "pulp-admin repo sync run --repo-id zoo --feed http://127.0.0.1:8000/zoo/"


@click.group(cls=Group, epilog=examples(_FETCH))
def sync() -> None:
    """Sync repositories."""


@sync.command("run", epilog=examples(_FETCH, "pulp-admin repo sync run --repo-id zoo --watch"))
@repo_id_option
@click.option(
    "--feed", metavar="URL", help="Sync from here. Default: the repository's feed, or the feed of its last sync."
)
@mode_option
@click.option("--allow-shrink", is_flag=True, help="Continue, however many packages the feed has dropped.")
@credential_option
@metadata_option
@watch_option
@with_app
def run_sync(
    app: App,
    repo_id: str,
    feed: str | None,
    is_mirror: bool | None,
    allow_shrink: bool,
    credential: str | None,
    metadata: str | None,
    watch: bool,
) -> None:
    """Sync a yum repository: its metadata and new packages.

    Options apply to this sync only. Those left out are as set by `repo create` or `repo update`.
    """
    more = given(
        feed=feed, mode=mode_of(is_mirror), allow_shrink=allow_shrink, credential=credential, metadata=metadata
    )
    accepted(app, {"operation": "sync", "arguments": {"repo_id": repo_id, **more}}, watch=watch)


sync.add_command(status_command("repo", "sync"))


@click.group(cls=Group, epilog=examples("pulp-admin repo publish run --repo-id zoo"))
def publish() -> None:
    """Publish repositories."""


@publish.command("run", epilog=examples("pulp-admin repo publish run --repo-id zoo"))
@repo_id_option
@metadata_option
@compression_option
@watch_option
@with_app
def run_publish(app: App, repo_id: str, metadata: str | None, compression: str | None, watch: bool) -> None:
    """Publish the synced packages as a yum repository.

    Options left out are as set by `repo create` or `repo update`.
    """
    more = given(metadata=metadata, compression=compression)
    accepted(app, {"operation": "publish", "arguments": {"repo_id": repo_id, **more}}, watch=watch)


publish.add_command(status_command("repo", "publish"))


@click.command(epilog=examples("pulp-admin repo repair --watch", "pulp-admin repo repair --repo-id zoo"))
@click.option(
    "--repo-id",
    type=REPOSITORY_ID,
    metavar="ID",
    shell_complete=completing.repositories,
    help="The repository. Default: all repositories.",
)
@click.option("--feed", metavar="URL", help="Fetch from here. Default: where each version came from.")
@credential_option
@watch_option
@with_app
def repair(app: App, repo_id: str | None, feed: str | None, credential: str | None, watch: bool) -> None:
    """Verify all stored packages and fetch damaged ones again."""
    arguments = given(repo_id=repo_id, feed=feed, credential=credential)
    accepted(app, {"operation": "repair", "arguments": arguments}, watch=watch)
