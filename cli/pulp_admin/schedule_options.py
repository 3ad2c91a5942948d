"""The fields of a schedule as options; and finding a schedule by its name."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem
from pulp_console.exits import DATA
from pulp_console.groups import Choice, suggestion
from pulp_console.times import DURATION, TIME

from pulp_admin import completing
from pulp_admin.errors import Failure
from pulp_admin.options import instant
from pulp_admin.paths import ApiPath, api_path, id_in
from pulp_admin.submitting import resource_of

if TYPE_CHECKING:
    from pulp_admin.client import Client

F = TypeVar("F", bound=Callable[..., Any])
ALL: Final = api_path("v3", "task-schedules")
PREVIEW: Final = api_path("v3", "task-schedules", "preview")


def time_options(command: F) -> F:
    """Adds the options for when to run."""
    for option in reversed(
        (
            click.option("--cron", metavar="FIELDS", help="Minute, hour, day of the month, month, day of the week."),
            click.option(
                "--every", "every_s", type=DURATION, metavar="DURATION", help="An interval, such as 15m or 1d12h."
            ),
            click.option("--at", type=TIME, metavar="TIME", help="Once, at this time."),
            click.option(
                "--start", type=TIME, metavar="TIME", help="Do not run before this time; an interval counts from it."
            ),
            click.option(
                "--time-zone", metavar="NAME", help="Time zone of --cron, such as Europe/Berlin. Default: UTC."
            ),
        )
    ):
        command = option(command)
    return command


def task_options(command: F) -> F:
    """Adds the options for what to submit, and for missed and overlapping runs."""
    for option in reversed(
        (
            click.option(
                "--argument",
                "-a",
                "pairs",
                multiple=True,
                metavar="NAME=TEXT",
                shell_complete=completing.arguments,
                help="An argument of the operation; NAME:=JSON if it is not text. May be repeated.",
            ),
            click.option("--arguments", metavar="JSON", help="All arguments as one JSON object, or @FILE."),
            click.option("--resource", "resources", multiple=True, metavar="TYPE:ID[:shared]", help="Of its tasks."),
            click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag of its tasks."),
            click.option("--queue", metavar="NAME", shell_complete=completing.queues, help="The queue of its tasks."),
            click.option("--priority", type=click.IntRange(-1000, 1000), help="The priority of its tasks."),
            click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="The time limit of a task."),
            click.option(
                "--missed",
                type=Choice(("skip", "run-once")),
                help="After an outage: skip the runs that were missed, or run once for all of them.",
            ),
            click.option(
                "--overlap",
                type=Choice(("skip", "allow")),
                help="While the last task is unfinished: skip, or submit another one.",
            ),
        )
    ):
        command = option(command)
    return command


def body_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request, without arguments and without options that were not given."""
    at, start = options.get("at"), options.get("start")
    given = {
        "cron": options.get("cron"),
        "interval_seconds": options.get("every_s"),
        "at": instant(at) if isinstance(at, datetime) else None,
        "start": instant(start) if isinstance(start, datetime) else None,
        "time_zone": options.get("time_zone"),
        "resources": [resource_of(text) for text in options.get("resources", ())] or None,
        "tags": list(options.get("tags", ())) or None,
        "queue": options.get("queue"),
        "priority": options.get("priority"),
        "timeout_seconds": options.get("timeout"),
        "missed": options.get("missed"),
        "overlap": options.get("overlap"),
    }
    body = {key: value for key, value in given.items() if value is not None}
    if sum(key in body for key in ("cron", "interval_seconds", "at")) > 1:
        raise click.UsageError("--cron, --every and --at exclude each other: give one of them")
    return body


def find_schedule(client: "Client", name: str) -> dict[str, Any]:
    """The schedule of this name. Raises `Failure`, which suggests a similar name."""
    if (found := client.named(ALL, name)) is not None:
        return found
    names = [str(row["name"]) for row in client.pages(ALL, {"fields": "name"})]
    raise Failure(f"There is no schedule {name!r}.{suggestion(name, names)} All: pulp-admin schedules list", DATA)


def path_of_schedule(schedule: Mapping[str, Any], *more: str) -> ApiPath:
    """The path of the schedule on the server."""
    return api_path("v3", "task-schedules", id_in(schedule["pulp_href"]), *more)


def schedule_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of schedules, for the shell."""
    return completing.named(context, ALL, incomplete)


name_argument = click.argument("name", shell_complete=schedule_names)
