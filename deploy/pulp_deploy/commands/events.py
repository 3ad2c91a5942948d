"""`pulp-tasks events`: the event log."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.escaping import one_line
from pulp_console.groups import Group, examples
from pulp_console.ids import TaskId, TaskIdType
from pulp_console.output import check_reader, json_text, show_next
from pulp_console.times import FORMS, TIME

from pulp_deploy.commands.completing import task_ids
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option

if TYPE_CHECKING:
    from uuid import UUID

    from pulp_events import Filter, Received, Start, Subscription

_LOOK_EVERY_S: Final = 0.5


class Since(click.ParamType):
    """Where to begin: a word, a cursor, or a time; its value is a `Start`."""

    name = "since"

    def convert(self, value: "Start", param: click.Parameter | None, ctx: click.Context | None) -> "Start":
        from pulp_events.cursor import parse_start
        from pulp_events.errors import BadInput

        if not isinstance(value, str):
            return value
        try:
            return parse_start(value)
        except BadInput:
            return TIME.convert(value, param, ctx)


@click.group(cls=Group, epilog=examples("pulp-tasks events tail --since 15m"))
def events() -> None:
    """Look at the log of events."""


@events.command(
    epilog=examples(
        "pulp-tasks events tail --since 15m",
        "pulp-tasks events tail --since now --operation sync --type finished",
        "pulp-tasks events tail --no-follow --output json",
    )
)
@click.option(
    "--since",
    type=Since(),
    metavar="WHEN",
    help=f"Where to start: beginning, now, a time ({FORMS}), or a cursor. Default: beginning.",
)
@click.option(
    "--task",
    "tasks",
    type=TaskIdType(),
    multiple=True,
    metavar="ID",
    shell_complete=task_ids,
    help="Only events of this task. May be repeated, like the options below.",
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Such as finished.")
@click.option("--operation", "operations", multiple=True, metavar="NAME", help="Only tasks of this operation.")
@click.option("--resource", "resources", multiple=True, metavar="TYPE:ID", help="Only tasks that use this resource.")
@click.option("--actor", "actors", multiple=True, metavar="user:NAME", help="Only tasks that this user submitted.")
@click.option("--group", "groups", multiple=True, type=click.UUID, metavar="ID", help="Only tasks of this group.")
@click.option("--json", "as_json", is_flag=True, hidden=True, help="The same as --output json.")
@click.option("--no-follow", is_flag=True, help="Stop at the current end of the log.")
@data_option
@output_option
def tail(
    since: "Start | None",
    tasks: tuple[TaskId, ...],
    as_json: bool,
    no_follow: bool,
    data: Path | None,
    output: str,
    **fields: tuple[Any, ...],
) -> None:
    """Print events as they come, in log order within each partition.

    With --output json each line is a JSON object (JSON Lines) with the event as it is in the log, and the cursor after
    it, from which --since or any other way to follow events continues.
    """
    from pulp_events import subscribe

    target = Target.find(data)
    wanted = _filter({**fields, "tasks": tuple(_uuid(task, target) for task in tasks)})
    with subscribe(
        target.need_kafka(),
        prefix=target.prefix,
        since=since,
        filter=wanted,
        follow=not no_follow,
    ) as subscription:
        for received in subscription if no_follow else _followed(subscription):
            value = {"cursor": str(subscription.cursor), **_value(received)}
            show_next("json" if as_json else output, value, _line(received))


def _filter(fields: Mapping[str, tuple[Any, ...]]) -> "Filter":
    from pulp_events import Filter
    from pulp_events.errors import BadInput

    try:
        return Filter(**fields)
    except BadInput as error:
        raise click.UsageError(str(error)) from error


def _followed(subscription: "Subscription") -> "Iterator[Received]":
    """Yield events as they arrive, as long as somebody reads standard output."""
    while True:
        received = subscription.poll(_LOOK_EVERY_S)
        if received is None:
            check_reader()
        else:
            yield received


def _uuid(task: TaskId, target: Target) -> "UUID":
    """Return the id of a task; asks the read model only if a prefix is given."""
    from uuid import UUID

    if task.is_whole:
        return UUID(task.text)
    found = _beginning_with(task.text, target)
    if len(found) == 1:
        return found[0]
    listed = "".join(f"\n  {each}" for each in found)
    several = f"The ids of several tasks begin with {task.text!r}; give more digits:{listed}"
    message = several if found else f"The id of no task begins with {task.text!r}."
    raise click.BadParameter(message, param_hint="'--task'")


def _beginning_with(digits: str, target: Target) -> "list[UUID]":
    """Return at most ten ids that begin with these hexadecimal digits."""
    from uuid import UUID

    from pulp_deploy.commands.postgres import connected

    query = "select task_id from tasks where task_id between %s and %s limit 10"
    with connected(target) as connection:
        rows = connection.execute(query, [UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))]).fetchall()
    return [row[0] for row in rows]


def _value(received: "Received") -> dict[str, Any]:
    value = {
        "partition": received.position.partition,
        "offset": received.position.offset,
        "timestamp_ms": received.timestamp_ms,
        "time": _time(received),
    }
    if received.event is None:
        return {**value, "error": received.error, "event": None}
    return {**value, "event": json.loads(received.raw or b"null")}


def _line(received: "Received") -> str:
    from pulp_events.filters import kind_of

    head = f"{_time(received)} {received.position}".ljust(36)
    if received.event is None:
        return one_line(f"{head}  not an event: {received.error}")
    envelope = json.loads(received.raw or b"{}")
    kind = kind_of(str(envelope.get("type", "?")))
    data = _short(json_text(envelope.get("data")))
    return one_line(f"{head}  {received.event.task_id}  {kind:<16} {envelope.get('actor', ''):<16} {data}")


def _time(received: "Received") -> str:
    return received.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(text: str, limit: int = 100) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
