"""`pulp-admin tasks bundle`: all that support needs to know of a task, in one file."""

import json
import os
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.exits import DATA, UNWRITABLE
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import hint, show

from pulp_admin.app import App, with_app
from pulp_admin.errors import Failure
from pulp_admin.history import entries_of
from pulp_admin.ids import resolve_any, task_id_option
from pulp_admin.paths import api_path, id_in
from pulp_admin.redacting import without_personal, without_secrets

if TYPE_CHECKING:
    from pulp_admin.client import Client

_MOST_CHILDREN: Final = 1000
_MOST_BEFORE: Final = 20
_BRIEF: Final = (
    "pulp_href,name,state,pulp_created,unblocked_at,started_at,finished_at,created_by,worker_name,queue,error,"
    "reserved_resources_record"
)


@click.command(epilog=examples("pulp-admin tasks bundle --task-id e0e0a250-eded-468f-9d97-0419a00b130f"))
@task_id_option
@click.option(
    "--to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Default: task-ID.json, here."
)
@with_app
def bundle(app: App, task_id: TaskId, to: Path | None) -> None:
    """Write all that is known about a task to a file, for support.

    The file holds the task with its error and traceback, its history, children, group, worker and operation, what it
    waited for, and the versions of server and client. It leaves out passwords, tokens and other secrets, recognised by
    their names and in URLs, and the arguments that the operation declares as personal. Look through the rest yourself
    before you pass the file on.
    """
    known = resolve_any(app.client, task_id)
    target = to or Path(f"task-{known}.json")
    made = without_secrets(collected(app.client, known))
    try:
        _write(target, json.dumps(made, indent=2, ensure_ascii=False) + "\n")
    except FileExistsError:
        raise Failure(f"{target} is there already: remove it, or choose another name with --to.", DATA) from None
    except OSError as error:
        raise Failure(f"{target} cannot be written: {error.strerror}.", UNWRITABLE) from error
    for part, why in made["missing"].items():
        hint(f"Without {part}: {why}")
    show(app.output, {"file": str(target), "missing": made["missing"]}, lambda: [f"{known} in {target}"])


def _write(target: Path, text: str) -> None:
    """Write a new file, in whole or not at all. Raises `OSError`."""
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            target.unlink(missing_ok=True)  # half of it would mislead support, and refuse the next try
            raise


def collected(client: "Client", task_id: str) -> dict[str, Any]:
    """The data of a task, by part. `missing` names parts that the user may not read or that no longer exist."""
    task: Mapping[str, Any] = client.get(api_path("v3", "tasks", task_id), {"purged": "true"})
    missing: dict[str, str] = {}

    def part(name: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except Failure as failure:
            missing[name] = failure.message
            return None

    def one(name: str, *path: str) -> Any:
        return part(name, lambda: client.get(api_path("v3", *path)))

    group, worker = task["task_group"], task["worker_name"]
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "client": {"version": version("pulp-admin"), "python": platform.python_version(), "url": client.url},
        "server": one("server", "status"),
        "task": without_personal(task),
        "history": part("history", lambda: list(entries_of(client, task_id))),
        "children": part("children", lambda: _children(client, task["pulp_href"], missing)),
        "group": None if group is None else one("group", "task-groups", id_in(group)),
        "waits_for": one("waits_for", "tasks", task_id, "why"),
        "depends_on": [_without(one("depends_on", "tasks", id_in(href))) for href in task["depends_on"]],
        "before_on_its_resources": part("before_on_its_resources", lambda: _before(client, task)),
        "worker": None if worker is None else part("worker", lambda: _worker(client, str(worker))),
        "operation": one("operation", "operations", str(task["name"])),
        "missing": missing,
    }


def _children(client: "Client", parent: str, missing: dict[str, str]) -> Any:
    params = {"parent_task": parent, "limit": _MOST_CHILDREN, "fields": _BRIEF}
    page = client.get(api_path("v3", "tasks"), params)
    if (more := page.get("count", 0) - len(page["results"])) > 0:
        missing["children"] = f"{more} of them, besides the {len(page['results'])} that are in the file"
    return page["results"]


def _without(task: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if task is None else without_personal(task)


def _before(client: "Client", task: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The last tasks on each resource that were accepted before and had not ended then."""
    found = {}
    for resource in task["resources"]:
        key = f"{resource['type']}:{resource['id']}"
        params = {"reserved_resources": key, "pulp_created__lt": task["pulp_created"], "limit": _MOST_BEFORE}
        rows = client.get(api_path("v3", "tasks"), {**params, "fields": _BRIEF})["results"]
        found[key] = [row for row in rows if row["finished_at"] is None or row["finished_at"] > task["pulp_created"]]
    return found


def _worker(client: "Client", name: str) -> Any:
    return client.named(api_path("v3", "workers"), name)
