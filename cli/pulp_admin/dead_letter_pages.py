"""`pulp-admin dead-letters list` and `show`; and naming a dead letter by its position."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

import click
from pulp_console.escaping import one_line
from pulp_console.groups import Choice, examples
from pulp_console.ids import TaskId
from pulp_console.output import hint, show, table

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.ids import TASK_ID, resolve
from pulp_admin.paths import ApiPath, api_path, id_in
from pulp_admin.positions import LogPosition

F = TypeVar("F", bound=Callable[..., Any])
ALL: Final = api_path("v3", "dead-letters")
_HEAD: Final = ("POSITION", "TIME", "BYTES", "STANDING", "BEHIND", "TASK", "REASON")
_STANDINGS: Final = ("dead", "parks", "waits", "discarded")
_REASON: Final = 120
_VALUE: Final = 2000


class LetterPositionType(click.ParamType):
    """PARTITION:OFFSET."""

    name = "PARTITION:OFFSET"

    def convert(
        self, value: str | LogPosition, param: click.Parameter | None, ctx: click.Context | None
    ) -> LogPosition:
        if isinstance(value, LogPosition):
            return value
        try:
            return LogPosition.parse(value.strip())
        except ValueError:
            return self.fail(f"{value!r} is not a position such as 3:1042", param, ctx)


def positions_argument(*, is_required: bool) -> Callable[[F], F]:
    """The positions of dead letters."""
    metavar = "POSITION..." if is_required else "[POSITION]..."
    return click.argument(
        "positions",
        type=LetterPositionType(),
        nargs=-1,
        required=is_required,
        metavar=metavar,
        shell_complete=completing.dead_letters,
    )


def path_of_letter(position: LogPosition, *more: str) -> ApiPath:
    """The path of the dead letter on the server."""
    return api_path("v3", "dead-letters", str(position), *more)


@click.command(
    "list",
    epilog=examples(
        "pulp-admin dead-letters list --standing parks",
        "pulp-admin dead-letters list --task-id e239ae4f --output json",
    ),
)
@click.option(
    "--task-id",
    type=TASK_ID,
    metavar="ID",
    shell_complete=completing.task_ids,
    help="Only those of this task, with the records that wait.",
)
@click.option("--partition", type=click.IntRange(0), metavar="N", help="Only those of this partition of the log.")
@click.option(
    "--standing",
    "standings",
    type=Choice(_STANDINGS),
    multiple=True,
    help="Only those with this standing; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most this many. Default: all.")
@with_app
def list_(
    app: App, task_id: TaskId | None, partition: int | None, standings: tuple[str, ...], limit: int | None
) -> None:
    """List them, with the reason why each cannot be projected.

    The newest come first. STANDING says what a record means for its task: dead (it belongs to none), parks, discarded,
    or waits (see --task-id). BEHIND is how many records wait behind one that parks its task.
    """
    params: dict[str, Any] = {
        "task": None if task_id is None else resolve(app.client, task_id),
        "partition": partition,
        "standing": ",".join(standings) or None,
    }
    wanted = {name: value for name, value in params.items() if value is not None}
    found = list(islice(app.client.pages(ALL, wanted), limit))
    show(app.output, found, lambda: table([_row(each) for each in found], _HEAD, width=None))
    if not found:
        hint("There is no such dead letter." if wanted else "There are no dead letters.")


@click.command("show", epilog=examples("pulp-admin dead-letters show 3:1042 --output json"))
@click.argument("position", type=LetterPositionType(), shell_complete=completing.dead_letters)
@with_app
def show_one(app: App, position: LogPosition) -> None:
    """Show the record at POSITION: reason, key, headers, value.

    For operators. It cuts a long value; --output json has all of it. Exits 65 if there is none at this position.
    """
    found = app.client.get(path_of_letter(position))
    show(app.output, found, lambda: _page(found))


def _row(letter: Mapping[str, Any]) -> list[str]:
    return [
        letter["position"],
        f"{letter['time'][:19]}Z",
        "-" if letter["size_bytes"] is None else str(letter["size_bytes"]),
        letter["standing"],
        str(letter["behind"]) if letter["standing"] == "parks" else "-",
        "-" if letter["task"] is None else id_in(letter["task"]),
        _cut(letter["reason"], _REASON),
    ]


def _page(letter: Mapping[str, Any]) -> Iterator[str]:
    lines = [
        f"Position  {letter['position']}",
        f"Time      {letter['time'][:19]}Z",
        f"Reason    {letter['reason']}",
        f"Standing  {_standing(letter)}",
        *([] if letter["task"] is None else [f"Task      {id_in(letter['task'])}"]),
        f"Key       {_bytes(letter['key_base64'], None)}",
        *(f"Header    {each['name']}: {_bytes(each['value_base64'], None)}" for each in letter["headers"]),
        f"Value     {_bytes(letter['value_base64'], letter['value'])}",
    ]
    yield from map(one_line, lines)


def _standing(letter: Mapping[str, Any]) -> str:
    match letter["standing"]:
        case "parks":
            records = "1 record waits" if letter["behind"] == 1 else f"{letter['behind']} records wait"
            return f"parks its task: {records} behind it"
        case "waits":
            return f"waits behind {letter['parked_by']}, which parks its task"
        case "discarded":
            return "discarded: its task has gone on without it"
        case _:
            return "dead: nothing waits for it"


def _bytes(base64: str | None, text: str | None) -> str:
    """The size, and the beginning of the text; in base64 if it is not text."""
    from base64 import b64decode

    if base64 is None:
        return "none"
    value = b64decode(base64)
    try:
        told = value.decode() if text is None else text
    except UnicodeDecodeError:
        told = f"base64 {base64}"
    return f"{len(value)} byte{'' if len(value) == 1 else 's'}: {_cut(told, _VALUE)}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
