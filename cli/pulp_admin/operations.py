"""`pulp-admin operations`: what may be submitted, and what each operation takes."""

from typing import Any

import click
from pulp_console.exits import DATA
from pulp_console.groups import examples
from pulp_console.output import hint, show, table, wrap

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.arguments import example_of, rows_of
from pulp_admin.errors import Failure, NotFound
from pulp_admin.paths import api_path


@click.command(epilog=examples("pulp-admin operations", "pulp-admin operations sync"))
@click.argument("name", required=False, shell_complete=completing.operations)
@with_app
def operations(app: App, name: str | None) -> None:
    """List the operations, or show one with its arguments.

    With --output json it also prints the arguments as JSON Schema.
    """
    if name is not None:
        found = _operation(app, name)
        show(app.output, found, lambda: _page(found))
        return
    listed = list(app.client.pages(api_path("v3", "operations")))
    rows = [[row["name"], "yes" if row["cancellable"] else "no", row["description"]] for row in listed]
    show(app.output, listed, lambda: table(rows, ("OPERATION", "CANCELLABLE", "DESCRIPTION")))
    if not listed:
        hint("No worker has registered an operation yet.")


def _operation(app: App, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = app.client.get(api_path("v3", "operations", name))
    except NotFound:
        from pulp_console.groups import suggestion

        names = [str(row["name"]) for row in app.client.pages(api_path("v3", "operations"))]
        known = ", ".join(names) or "none"
        raise Failure(f"There is no operation {name!r}.{suggestion(name, names)} Known are: {known}.", DATA) from None
    return found


def _page(row: dict[str, Any]) -> list[str]:
    lines = [
        *wrap("Operation:    ", row["name"]),
        *wrap("Description:  ", row["description"] or "-"),
        *wrap("Cancellable:  ", "yes" if row["cancellable"] else "no"),
        *wrap("Resources:    ", ", ".join(_resource(item) for item in row["resources"]) or "none"),
        *([] if row["requires"] is None else wrap("Requires:     ", f"{row['requires']} on the same resource")),
        *([] if row.get("retry") is None else wrap("Retries:      ", _retries(row["retry"]))),
        *([] if row.get("deadline_seconds") is None else wrap("Deadline:     ", f"{row['deadline_seconds']} s")),
        *wrap("Registered:   ", _registered(row)),
        *wrap("Workers:      ", ", ".join(_worker(worker) for worker in row["workers"]) or "none is online"),
        "",
    ]
    if row["parameters"] is None:
        lines += ["The operation declares no arguments and accepts any."]
    elif not row["parameters"]:
        lines += ["The operation takes no arguments."]
    else:
        lines += table(rows_of(row), ("ARGUMENT", "TYPE", "REQUIRED", "DEFAULT", "DESCRIPTION"))
    return [*lines, "", *example_of(row["example"]).splitlines()]


def _resource(item: dict[str, str]) -> str:
    shared = " (shared)" if item["access"] == "shared" else ""
    return f"{item['type']}:{item['id']}{shared}"


def _retries(retry: dict[str, Any]) -> str:
    first, longest = retry["backoff_seconds"], retry["max_backoff_seconds"]
    return f"{retry['retries']}, after {first:g} s and twice as long each time, at most {longest:g} s"


def _registered(row: dict[str, Any]) -> str:
    package = "" if row["package"] is None else f"{row['package']} {row['version']}, "
    return f"{package}by worker {row['registered_by']} at {row['registered_at']}"


def _worker(worker: dict[str, Any]) -> str:
    queues = ", ".join(worker["queues"])
    differs = ", with another declaration" if worker["is_as_registered"] is False else ""
    return f"{worker['name']} ({queues}{differs})"
