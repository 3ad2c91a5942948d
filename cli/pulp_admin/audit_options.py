"""The filters that `audit list` and `audit export` share."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pulp_console.groups import Choice
from pulp_console.ids import TaskId
from pulp_console.times import FORMS, local_now, parse_time

from pulp_admin import completing
from pulp_admin.ids import TASK_ID, resolve_any
from pulp_admin.options import MOMENT, RESOURCE, instant

if TYPE_CHECKING:
    from pulp_admin.client import Client

F = TypeVar("F", bound=Callable[..., Any])
KINDS: Final = (
    "accepted",
    "started",
    "progress",
    "attempt-failed",
    "cancel-requested",
    "finished",
    "purged",
    "unparked",
)
_OLD_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{40,}={0,2}", re.ASCII)
"""The cursors of release 0.1, which the server still takes."""
CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{22}(\.[0-9]{1,19})+", re.ASCII)


class PlaceType(click.ParamType):
    """A time, an event as PARTITION:OFFSET, or a cursor; the value is what the server takes."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value if CURSOR.fullmatch(value) else MOMENT.convert(value, param, ctx)


class SinceType(click.ParamType):
    """Where to start following events: `beginning`, `now`, a time or a cursor. The value is what the server takes."""

    name = "when"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in ("beginning", "now") or CURSOR.fullmatch(value) or _OLD_CURSOR.fullmatch(value):
            return value
        try:
            return instant(parse_time(value, local_now()))
        except ValueError:
            return self.fail(f"{value!r} is neither beginning nor now, a time ({FORMS}) nor a cursor", param, ctx)


PLACE: Final = PlaceType()
SINCE: Final = SinceType()


def filter_options(command: F) -> F:
    """Add the options; `params_of` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def params_of(client: "Client", options: dict[str, Any]) -> dict[str, Any]:
    """The parameters for the server's audit. Raises `Failure` if no task's id begins with the given digits."""
    tasks: tuple[TaskId, ...] = options["tasks"]
    given = {
        "actor": [_actor(name) for name in options["actors"]],
        "type": list(options["kinds"]),
        "effect": list(options["effects"]),
        "operation": list(options["operations"]),
        "resource": list(options["resources"]),
        "task": [resolve_any(client, task) for task in tasks],
        "group": list(options["groups"]),
        "correlation_id": list(options["correlations"]),
        "since": options["since"],
        "until": options["until"],
    }
    return {name: value for name, value in given.items() if value}


def _actor(name: str) -> str:
    """The name in events: `reactor` and `scheduler` have no kind in front, and a bare name is a user's."""
    return name if ":" in name or name in ("reactor", "scheduler") else f"user:{name}"


_OPTIONS = (
    click.option(
        "--who",
        "actors",
        multiple=True,
        metavar="NAME",
        help="Only events by this user, or by worker:NAME, reactor or scheduler. May be repeated, like all of these.",
    ),
    click.option(
        "--event", "kinds", multiple=True, type=Choice(KINDS), metavar="KIND", help=f"Only events such as {KINDS[4]}."
    ),
    click.option(
        "--effect",
        "effects",
        multiple=True,
        metavar="WORD",
        help="Only applied events, ignored ones, or those ignored for this reason.",
    ),
    click.option(
        "--operation",
        "operations",
        multiple=True,
        metavar="NAME",
        shell_complete=completing.operations,
        help="Only events of tasks of this operation, such as sync.",
    ),
    click.option(
        "--resource",
        "resources",
        multiple=True,
        type=RESOURCE,
        metavar="TYPE:ID",
        help="Only events of tasks that use this resource, such as repository:zoo.",
    ),
    click.option("--task-id", "tasks", multiple=True, type=TASK_ID, metavar="ID", help="Only events of this task."),
    click.option("--group-id", "groups", multiple=True, metavar="ID", help="Only events of tasks of this group."),
    click.option(
        "--correlation-id",
        "correlations",
        multiple=True,
        metavar="ID",
        help="Only events of tasks that the request with this id submitted.",
    ),
    click.option(
        "--since",
        type=PLACE,
        metavar="TIME",
        help="Only events from then on: a time, an OFFSET such as 3:1042, or a cursor.",
    ),
    click.option(
        "--until", type=PLACE, metavar="TIME", help="Only events before this time or cursor, or up to this OFFSET."
    ),
)
