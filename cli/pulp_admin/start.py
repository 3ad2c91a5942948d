"""Commands that start work: `submit`, `orphan remove`, `repo sync run`, `repo publish run`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pulp_console.groups import Group, examples
from pulp_console.output import show

from pulp_admin.app import App, with_app

F = TypeVar("F", bound=Callable[..., Any])

watch_option = click.option("--watch", is_flag=True, help="Follow the task until it ends.")


def accepted(app: App, body: dict[str, Any], *, watch: bool, key: str | None = None) -> None:
    """Submit, and say so as the guide does."""
    task_id = app.client.submit(body, key)
    text = ["Request accepted", "", f'check status of task {task_id} with "pulp-admin tasks details"']
    show(app.output, {"task_id": task_id}, lambda: text)
    if watch:
        from pulp_admin.watching import follow

        click.get_current_context().exit(follow(app.client, task_id))


@click.command(
    epilog=examples(
        "pulp-admin submit sync --argument repo_id=zoo \\", "    --argument feed=http://127.0.0.1:8000/zoo/"
    )
)
@click.argument("operation")
@click.option(
    "--argument",
    "-a",
    "pairs",
    multiple=True,
    metavar="NAME=TEXT",
    help="An argument of the operation; NAME:=JSON for what is no text. May be repeated.",
)
@click.option("--arguments", metavar="JSON", help="All arguments as one JSON object, or @FILE.")
@click.option(
    "--resource",
    "resources",
    multiple=True,
    metavar="TYPE:ID[:shared]",
    help="A resource that the task uses, alone or shared.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag of the task.")
@click.option("--queue", metavar="NAME", help="The queue of the workers that may run it.")
@click.option("--priority", type=click.IntRange(-1000, 1000), help="Higher runs first.")
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="Fail the task after this time.")
@click.option("--depends-on", multiple=True, metavar="ID", help="Run only after this task was successful.")
@click.option("--parent", metavar="ID", help="The task that this one belongs to.")
@click.option("--idempotency-key", metavar="KEY", help="The same key makes one task, however often it is sent.")
@watch_option
@with_app
def submit(
    app: App,
    operation: str,
    pairs: tuple[str, ...],
    arguments: str | None,
    resources: tuple[str, ...],
    tags: tuple[str, ...],
    queue: str | None,
    priority: int | None,
    timeout: int | None,
    depends_on: tuple[str, ...],
    parent: str | None,
    idempotency_key: str | None,
    watch: bool,
) -> None:
    """Start a task of any operation that the workers know."""
    given: dict[str, Any] = {
        "resources": [_resource(text) for text in resources] or None,
        "tags": list(tags) or None,
        "queue": queue,
        "priority": priority,
        "timeout_seconds": timeout,
        "depends_on": list(depends_on) or None,
        "parent_task": parent,
    }
    body = {key: value for key, value in given.items() if value is not None}
    body |= {"operation": operation, "arguments": given_arguments(pairs, arguments)}
    accepted(app, body, watch=watch, key=idempotency_key)


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
@click.option("--feed", required=True, metavar="URL", help="Where the repository is fetched from.")
@watch_option
@with_app
def run_sync(app: App, repo_id: str, feed: str, watch: bool) -> None:
    """Fetch a yum repository: metadata, and new packages."""
    accepted(app, {"operation": "sync", "arguments": {"repo_id": repo_id, "feed": feed}}, watch=watch)


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


def given_arguments(pairs: tuple[str, ...], text: str | None) -> dict[str, Any]:
    """What `--argument` and `--arguments` say, by name. Raises a usage error."""
    found = {} if text is None else _json(text, "--arguments")
    if not isinstance(found, dict):
        raise click.UsageError(f"--arguments: a JSON object is expected, not {type(found).__name__}")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.rstrip(":"):
            raise click.UsageError(f"--argument {pair}: NAME=TEXT or NAME:=JSON is expected")
        is_json = name.endswith(":")
        found[name.rstrip(":")] = _json(value, f"--argument {pair}") if is_json else value
    return found


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{where}: {error}") from error


def _resource(text: str) -> dict[str, str]:
    kind, _, rest = text.partition(":")
    name, colon, access = rest.rpartition(":")
    if not colon:
        name, access = rest, "exclusive"
    if not kind or not name:
        raise click.UsageError(f"--resource {text}: TYPE:ID or TYPE:ID:shared is expected")
    if access not in ("shared", "exclusive"):
        raise click.UsageError(
            f"--resource {text}: unknown access '{access}', it is exclusive or shared. "
            f"An ID that holds a colon needs it: {text}:exclusive"
        )
    return {"type": kind, "id": name, "access": access}
