"""Task ids as parameters of commands, checked before any request is sent."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem
from pulp_console.exits import DATA
from pulp_console.ids import TaskId, TaskIdType

from pulp_admin.completing import task_ids, unfinished_task_ids
from pulp_admin.errors import Failure, NotFound
from pulp_admin.paths import api_path
from pulp_admin.words import state_of

if TYPE_CHECKING:
    from pulp_admin.client import Client

_MOST_CANDIDATES: Final = 10


class CompletedTaskId(TaskIdType):
    """A task id that the shell completes."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return task_ids(ctx, param, incomplete)


TASK_ID: Final = CompletedTaskId()
_HELP: Final = "The task: its id, href or PRN, or the first digits of its id."
task_id_option = click.option("--task-id", type=TASK_ID, required=True, metavar="ID", help=_HELP)
unfinished_task_id_option = click.option(
    "--task-id",
    type=TASK_ID,
    required=True,
    metavar="ID",
    help=_HELP,
    shell_complete=unfinished_task_ids,
)
"""The same, where the shell offers only tasks that have not ended."""


def resolve(client: "Client", task_id: TaskId) -> str:
    """Return the UUID of a task that is not purged; asks the server only if a prefix is given.

    Raises `NotFound` if there is none, and `Failure` that lists them if there are several.
    """
    return task_id.text if task_id.is_whole else _the_only(task_id, _beginning(client, task_id))


def resolve_any(client: "Client", task_id: TaskId) -> str:
    """The same, also of a purged task: for commands that show those as well."""
    if task_id.is_whole:
        return task_id.text
    found = [*_beginning(client, task_id), *_beginning(client, task_id, {"purged": "true"})]
    # A task that is purged between the two requests is in both answers.
    return _the_only(task_id, list({task["pulp_href"]: task for task in found}.values()))


def _beginning(client: "Client", task_id: TaskId, further: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """The tasks whose ids begin with these digits: one more than are shown, at most."""
    params = {
        "pulp_id__startswith": task_id.text,
        "limit": _MOST_CANDIDATES + 1,
        "fields": "pulp_href,name,state,pulp_created",
    }
    return list(client.get(api_path("v3", "tasks"), {**params, **(further or {})})["results"])


def _the_only(task_id: TaskId, found: list[dict[str, str]]) -> str:
    if not found:
        raise NotFound(f"The id of no task begins with {task_id.text!r}.")
    if len(found) > 1:
        lines = [f"  {_id_of(task)}  {state_of(task['state']).guide:<10}  {task['name']}" for task in found]
        if len(found) > _MOST_CANDIDATES:
            lines[_MOST_CANDIDATES:] = ["  ..."]
        candidates = "\n".join(lines)
        raise Failure(f"The ids of several tasks begin with {task_id.text!r}; give more digits:\n\n{candidates}", DATA)
    return _id_of(found[0])


def _id_of(task: dict[str, str]) -> str:
    return task["pulp_href"].rstrip("/").rsplit("/", 1)[-1]
