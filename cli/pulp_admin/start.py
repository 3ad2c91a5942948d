"""Commands that start work of one kind: `orphan remove`, `repo sync run`, `repo publish run`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from pulp_console.groups import Group, examples
from pulp_console.output import show, show_next

from pulp_admin.app import App, with_app

F = TypeVar("F", bound=Callable[..., Any])

watch_option = click.option("--watch", is_flag=True, help="Follow the task until it ends.")


def accepted(app: App, body: dict[str, Any], *, watch: bool, key: str | None = None) -> None:
    """Submit, and say so as the guide does."""
    task_id = app.client.submit(body, key)
    text = ["Request accepted", "", f'check status of task {task_id} with "pulp-admin tasks details"']
    if not watch:
        show(app.output, {"task_id": task_id}, lambda: text)
        return
    from pulp_admin.watching import follow

    show_next(app.output, {"task_id": task_id}, "\n".join(text))  # the first of several: the task follows
    click.get_current_context().exit(follow(app.client, task_id, app.output))


@click.group(cls=Group, epilog=examples("pulp-admin orphan remove --all"))
def orphan() -> None:
    """Manage content that no repository uses."""


@orphan.command(epilog=examples("pulp-admin orphan remove --all"))
@click.option("--all", "remove_all", is_flag=True, required=True, help="Remove all orphaned content.")
@watch_option
@with_app
def remove(app: App, remove_all: bool, watch: bool) -> None:
    """Remove content that no repository uses."""
    accepted(app, {"operation": "remove-orphans"}, watch=watch)


@click.group(cls=Group, epilog=examples("pulp-admin repo publish run --repo-id zoo"))
def repo() -> None:
    """Work on repositories."""


@repo.group(epilog=examples("pulp-admin repo sync run --repo-id zoo --feed http://127.0.0.1:8000/zoo/"))
def sync() -> None:
    """Fetch repositories."""


@sync.command("run", epilog=examples("pulp-admin repo sync run --repo-id zoo --feed http://127.0.0.1:8000/zoo/"))
@click.option("--repo-id", required=True, metavar="ID", help="The repository.")
@click.option("--feed", metavar="URL", help="Where it is fetched from; without it, from where it was the last time.")
@watch_option
@with_app
def run_sync(app: App, repo_id: str, feed: str | None, watch: bool) -> None:
    """Fetch a yum repository: metadata, and new packages."""
    arguments = {"repo_id": repo_id, **({} if feed is None else {"feed": feed})}
    accepted(app, {"operation": "sync", "arguments": arguments}, watch=watch)


@repo.group(epilog=examples("pulp-admin repo publish run --repo-id zoo"))
def publish() -> None:
    """Publish repositories."""


@publish.command("run", epilog=examples("pulp-admin repo publish run --repo-id zoo"))
@click.option("--repo-id", required=True, metavar="ID", help="The repository.")
@watch_option
@with_app
def run_publish(app: App, repo_id: str, watch: bool) -> None:
    """Write out what was fetched, as a yum repository."""
    accepted(app, {"operation": "publish", "arguments": {"repo_id": repo_id}}, watch=watch)
