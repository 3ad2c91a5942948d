"""`status`, `operations`, `workers`, `completion`."""

import click
from pulp_console.completion import completion_command
from pulp_console.output import show, table, wrap

from pulp_admin.app import App, with_app
from pulp_admin.errors import TEMPORARY


@click.command()
@with_app
def status(app: App) -> None:
    """Show how server, Kafka, Postgres and workers are.

    Exits 75 if Kafka or Postgres is away.
    """
    found = app.client.get("/pulp/api/v3/status/")
    parts = {"Kafka": found["kafka_connection"], "Postgres": found["database_connection"]}
    lines = [
        f"Server:    pulp-tasks {found['pulp_tasks_version']}",
        *(f"{name + ':':<11}{'connected' if part['connected'] else 'away'}" for name, part in parts.items()),
        f"Behind:    {'unknown' if found['lag'] is None else found['lag']} events",
        *wrap("Workers:   ", ", ".join(worker["name"] for worker in found["online_workers"]) or "none"),
    ]
    show(app.output, found, lambda: lines)
    if not all(part["connected"] for part in parts.values()):
        click.get_current_context().exit(TEMPORARY)


@click.command()
@with_app
def operations(app: App) -> None:
    """List the operations that may be submitted."""
    found = app.client.get("/pulp/api/v3/operations/")["results"]
    rows = [[row["name"], "yes" if row["cancellable"] else "no", row["description"]] for row in found]
    show(app.output, found, lambda: table(rows, ("OPERATION", "CANCELLABLE", "DESCRIPTION")))


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Those that have stopped as well.")
@with_app
def workers(app: App, show_all: bool) -> None:
    """List the workers, and what each runs."""
    found = app.client.get("/pulp/api/v3/workers/", {} if show_all else {"online": "true"})["results"]
    rows = [
        [
            row["name"],
            "online" if row["online"] else "offline",
            str(row["concurrency"]),
            ",".join(row["queues"]),
            (row["current_task"] or "-").rstrip("/").rsplit("/", 1)[-1],
        ]
        for row in found
    ]
    show(app.output, found, lambda: table(rows, ("WORKER", "STATE", "TASKS", "QUEUES", "RUNNING")))


completion = completion_command("pulp-admin")
