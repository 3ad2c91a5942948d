"""`pulp-admin queue`: what waits, by queue and by resource, and why a task does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import show, table, wrap

from pulp_admin.app import App, with_app
from pulp_admin.as_of import as_of_option, get_then
from pulp_admin.ids import TASK_ID, resolve
from pulp_admin.options import RESOURCE
from pulp_admin.paths import api_path, id_in
from pulp_admin.why import HIDDEN, age, holder_rows, why_lines

_MOST_RESOURCES: Final = 10
_MOST_IN_LINE: Final = 20


@click.command(
    epilog=examples(
        "pulp-admin queue",
        "pulp-admin queue --resource repository:zoo",
        "pulp-admin queue --task-id e239ae4f",
        "pulp-admin queue --as-of 10m",
        "pulp-admin --output json queue | jq '.queues[] | {name, runnable}'",
    )
)
@click.option(
    "--resource",
    type=RESOURCE,
    metavar="TYPE:ID",
    help="Show which tasks hold this resource, and which wait for it, in order.",
)
@click.option(
    "--task-id", type=TASK_ID, metavar="ID", help="Show why this task waits, and which tasks are ahead of it."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=1000),
    metavar="N",
    help=f"At most this many resources [{_MOST_RESOURCES}], or tasks that wait for one [{_MOST_IN_LINE}].",
)
@as_of_option
@with_app
def queue(app: App, resource: str | None, task_id: TaskId | None, limit: int | None, as_of: str | None) -> None:
    """Show which tasks wait, by queue and by resource.

    Runnable tasks need only a worker with a free slot. Blocked ones wait for a resource or another task, or their user
    has reached a limit: more workers would not help. Parked ones have a record that cannot be projected: `dead-letters
    list` shows which. Unserved ones are those that no live worker can run.

    Later tasks on a resource do not wait for one that is passed over: nobody could run it for too long, it is parked,
    or its next attempt is not due.

    With --as-of it shows what waited and ran then, from the events alone. They do not record which workers there were,
    their slots, or how many tasks a user could run, so runnable tasks may have waited for a limit, and none counts as
    unserved.
    """
    if resource is not None and task_id is not None:
        raise click.UsageError("Give --resource or --task-id, not both.")
    if task_id is not None and as_of is not None:
        raise click.UsageError("--task-id tells why a task waits now: give it without --as-of.")
    if task_id is not None:
        found = app.client.get(api_path("v3", "tasks", resolve(app.client, task_id), "why"))
        show(app.output, found, lambda: why_lines(found))
    elif resource is not None:
        params = {"resource": resource, "limit": limit or _MOST_IN_LINE}
        line = get_then(app.client, api_path("v3", "resources", "line"), params, as_of)
        show(app.output, line, lambda: _line(line))
    else:
        queues = list(get_then(app.client, api_path("v3", "queues"), {}, as_of)["results"])
        most = {"limit": limit or _MOST_RESOURCES}
        page = get_then(app.client, api_path("v3", "resources"), most, as_of)
        both = {"queues": queues, "resources": page["results"], "resource_count": page["count"]}
        show(app.output, both, lambda: _overview(both, is_now=as_of is None))


def _overview(both: Mapping[str, Any], *, is_now: bool) -> Iterator[str]:
    numbers = ("runnable", "blocked", "parked", "running", "unserved")
    rows = [
        [
            *("-" if row.get(name) is None else str(row[name]) for name in numbers),
            age(row["oldest_wait_seconds"]),
            row["name"],
        ]
        for row in both["queues"]
    ]
    if not rows:
        yield "No task waits or runs, and no worker is online." if is_now else "No task waited or ran."
        return
    yield from table(rows, ("RUNNABLE", "BLOCKED", "PARKED", "RUNNING", "UNSERVED", "OLDEST WAIT", "QUEUE"))
    for row in both["queues"]:
        yield from _warning(row)
    resources = both["resources"]
    if resources:
        yield ""
        yield from table(
            [[str(row["waiting"]), *_holder(row), row["resource"]] for row in resources],
            ("WAITING", "HELD BY", "RESOURCE"),
        )
    more = both["resource_count"] - len(resources)
    if more > 0:
        yield f"... {more} more"


def _warning(row: Mapping[str, Any]) -> Iterator[str]:
    if row.get("parked"):
        tasks = "1 task is parked" if row["parked"] == 1 else f"{row['parked']} tasks are parked"
        yield from wrap("Warning:  ", f"{tasks} in queue {row['name']}: see pulp-admin dead-letters list.")
    if not row["unserved"]:
        return
    tasks = "1 task waits" if row["unserved"] == 1 else f"{row['unserved']} tasks wait"
    what = (
        "which no live worker serves: start one with --queue, or cancel them."
        if not row["workers"]
        else "for an operation that none of its live workers offers: install its package there, and restart them."
    )
    yield from wrap("Warning:  ", f"{tasks} in queue {row['name']}, {what}")


def _holder(row: Mapping[str, Any]) -> list[str]:
    held_by: Sequence[Mapping[str, Any]] = row["held_by"]
    if not held_by:
        return ["others" if row["others"] else "-"]
    more = f" +{len(held_by) - 1}" if len(held_by) > 1 else ""
    return [id_in(held_by[0]["task"]) + more]


def _line(line: Mapping[str, Any]) -> Iterator[str]:
    yield from wrap("Resource:  ", line["resource"])
    if line["held_by"]:
        yield ""
        yield from table(list(holder_rows(line["held_by"])), ("HELD BY", "ACCESS", "FOR", "WORKER"))
    elif not line["others"]:
        yield "Held by:   nobody"
    if line["others"]:
        yield from wrap("", f"{HIDDEN}.")
    if not line["tasks"]:
        if not line["others"]:
            yield "Waiting:   nobody"
        return
    yield ""
    yield from table(
        [
            [str(row["place"]), id_in(row["task"]), row["access"], age(row["wait_seconds"]), _what(row)]
            for row in line["tasks"]
        ],
        ("PLACE", "TASK", "ACCESS", "WAITS", "OPERATION"),
    )
    more = line["waiting"] - len(line["tasks"])
    if more > 0:
        yield f"... {more} more"


def _what(row: Mapping[str, Any]) -> str:
    return f"{row['name']} (passed over)" if row["passed_over"] else str(row["name"])
