"""The filters that `list`, `cancel --all` and `rerun --all` share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pulp_console.exits import DATA
from pulp_console.groups import suggestion
from pulp_console.times import TIME, time_text

from pulp_admin import completing
from pulp_admin.errors import Failure
from pulp_admin.options import RESOURCE, STATES, instant
from pulp_admin.paths import api_path
from pulp_admin.words import StateWord

if TYPE_CHECKING:
    from pulp_admin.client import Client

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Filters:
    """The filters of a command. A task must match each of them: any of its values, but all of the tags."""

    states: tuple[StateWord, ...] = ()
    tags: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> "Filters":
        """Make filters of the values of `filter_options`."""
        states = tuple(dict.fromkeys(state for group in options["states"] for state in group))
        return cls(**{**options, "states": states})

    def params(self) -> dict[str, Any]:
        """The parameters of the server's list of tasks in the v2 dialect."""
        given = {
            "state": codes_of(self.states),
            "tag": self.tags,
            "operation": self.operations,
            "resource": self.resources,
            "queue": self.queues,
            "worker": self.workers,
            "user": self.users,
            "since": None if self.since is None else instant(self.since),
            "until": None if self.until is None else instant(self.until),
        }
        return {name: value for name, value in given.items() if value}

    def __str__(self) -> str:
        """The filters in words, for a question; empty without filters."""
        words = {
            "state": _any_of(state.guide for state in self.states),
            "tag": " and ".join(self.tags),
            "operation": _any_of(self.operations),
            "resource": _any_of(self.resources),
            "queue": _any_of(self.queues),
            "worker": _any_of(self.workers),
            "user": _any_of(self.users),
            "since": "" if self.since is None else time_text(self.since),
            "until": "" if self.until is None else time_text(self.until),
        }
        return ", ".join(f"{name} {text}" for name, text in words.items() if text)


def codes_of(states: Iterable[StateWord]) -> list[str]:
    """Return the codes that the server's list takes."""
    return [state.pulp2 for state in states]


def check_operations(client: "Client", names: Iterable[str]) -> None:
    """Raise `Failure` if a filter names an operation that does not exist; call it when nothing was found."""
    if not names:
        return
    known = [row["name"] for row in client.pages(api_path("v3", "operations"))]
    for name in names:
        if name not in known:
            raise Failure(f"No operation is named {name!r}.{suggestion(name, known)} All: pulp-admin operations", DATA)


def filter_options(command: F) -> F:
    """Add the options; `Filters.of` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _any_of(words: Iterable[str]) -> str:
    return " or ".join(words)


_OPTIONS = (
    click.option(
        "--state",
        "-s",
        "states",
        multiple=True,
        type=STATES,
        shell_complete=completing.states,
        help="Only tasks in this state, such as Error or running,waiting; may be repeated.",
    ),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only tasks with this tag; all must match."),
    click.option(
        "--operation",
        "operations",
        multiple=True,
        metavar="NAME",
        shell_complete=completing.operations,
        help="Only tasks of this operation, such as sync.",
    ),
    click.option(
        "--resource",
        "resources",
        multiple=True,
        type=RESOURCE,
        metavar="TYPE:ID",
        help="Only tasks that use this resource, such as repository:zoo.",
    ),
    click.option(
        "--queue",
        "queues",
        multiple=True,
        metavar="NAME",
        shell_complete=completing.queues,
        help="Only tasks of this queue.",
    ),
    click.option(
        "--worker",
        "workers",
        multiple=True,
        metavar="NAME",
        shell_complete=completing.workers,
        help="Only tasks that this worker took.",
    ),
    click.option("--who", "users", multiple=True, metavar="USER", help="Only tasks that this user submitted."),
    click.option(
        "--since", type=TIME, metavar="TIME", help="Only tasks submitted since then, such as 2h or yesterday."
    ),
    click.option("--until", type=TIME, metavar="TIME", help="Only tasks submitted before then."),
)
