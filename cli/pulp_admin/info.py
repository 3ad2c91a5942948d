"""`status`, `workers`, `completion`."""

from typing import Any, Final

import click
from pulp_console.completion import completion_command
from pulp_console.exits import TEMPORARY
from pulp_console.groups import examples
from pulp_console.output import failed, hint, show, table, wrap

from pulp_admin.app import App, with_app
from pulp_admin.paths import api_path

_NO_WORKER: Final = "No worker is online: tasks wait until one is started."


@click.command(epilog=examples("pulp-admin status"))
@with_app
def status(app: App) -> None:
    """Show the health of server, Kafka, Postgres and workers.

    Exits 75 if Kafka or Postgres is down, or if no worker is online to run tasks.
    """
    found = app.client.get(api_path("v3", "status"))
    parts = {"Kafka": found["kafka_connection"], "Postgres": found["database_connection"]}
    lines = [
        f"Server:    pulp-tasks {found['pulp_tasks_version']}",
        *(f"{name + ':':<11}{'connected' if part['connected'] else 'away'}" for name, part in parts.items()),
        f"Behind:    {'unknown' if found['lag'] is None else found['lag']} events",
        *wrap("Workers:   ", ", ".join(worker["name"] for worker in found["online_workers"]) or "none"),
        *_slots(found["online_workers"]),
        *_dispatch(found),
        *_unserved(found.get("unserved_queues") or [], found.get("unserved_operations") or []),
        *(wrap("Audit:     ", found["audit_fault"]) if found.get("audit_fault") else []),
        *_findings(found.get("findings") or []),
    ]
    show(app.output, found, lambda: lines)
    is_connected = all(part["connected"] for part in parts.values())
    if is_connected and not found["online_workers"]:
        failed(_NO_WORKER)
    if not (is_connected and found["online_workers"]):
        click.get_current_context().exit(TEMPORARY)


@click.command(epilog=examples("pulp-admin workers"))
@click.option("--all", "show_all", is_flag=True, help="Include stopped workers.")
@with_app
def workers(app: App, show_all: bool) -> None:
    """List the workers, and what each runs."""
    found = list(app.client.pages(api_path("v3", "workers"), {} if show_all else {"online": "true"}))
    rows = [
        [
            row["name"],
            "online" if row["online"] else "offline",
            f"{row.get('busy_slots', '?')}/{row['concurrency']}",
            ",".join(row["queues"]),
            ", ".join(href.rstrip("/").rsplit("/", 1)[-1] for href in _running(row)) or "-",
        ]
        for row in found
    ]
    show(app.output, found, lambda: table(rows, ("WORKER", "STATE", "BUSY", "QUEUES", "RUNNING")))
    if not found:
        hint(_NO_WORKER if show_all else f"{_NO_WORKER} --all includes stopped workers.")


def _running(worker: dict[str, Any]) -> list[str]:
    """Return the hrefs of a worker's tasks; an older server reports only the first."""
    first = worker.get("current_task")
    found: list[str] = worker.get("current_tasks", [first] if first else [])
    return found


def _slots(workers: list[dict[str, Any]]) -> list[str]:
    if not workers:
        return []
    if not all("free_slots" in worker for worker in workers):  # the server is older than this client
        return []
    free, slots = (sum(worker[name] for worker in workers) for name in ("free_slots", "slots"))
    return [f"Slots:     {free} free of {slots}"]


def _dispatch(found: dict[str, Any]) -> list[str]:
    if found.get("dispatching") is not False:  # an older server does not say
        return []
    if found.get("settling"):
        what = "The processor that assigns tasks has just taken over: no task starts before it has caught up."
        return wrap("Warning:   ", what)
    return wrap("Warning:   ", "No processor assigns tasks to workers: no task starts. Start pulp-tasks processor.")


def _unserved(queues: list[dict[str, Any]], operations: list[dict[str, Any]]) -> list[str]:
    lines = []
    for row in queues:
        lines += wrap("Warning:   ", f"{_tasks(row['waiting'])} in queue {row['queue']}, which no worker serves.")
    for row in operations:
        what = f"for operation {row['operation']} in queue {row['queue']}, which no worker of it offers."
        lines += wrap("Warning:   ", f"{_tasks(row['waiting'])} {what}")
    return lines


def _tasks(number: int) -> str:
    return "1 task waits" if number == 1 else f"{number} tasks wait"


def _findings(found: list[dict[str, Any]]) -> list[str]:
    """Return faults and warnings; notes are in the JSON only."""
    lines = []
    for each in found:
        if each["severity"] != "note":
            mend = f" To mend it: {each['mend']}" if each["mend"] else ""
            head = f"{each['severity'].capitalize() + ':':<11}"
            lines += wrap(head, f"{each['subject']}: {each['wrong']}: {each['endangers']}.{mend}")
    return lines


completion = completion_command("pulp-admin")
