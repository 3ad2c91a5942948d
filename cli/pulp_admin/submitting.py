"""`pulp-admin submit`: start a task of any operation."""

from typing import TYPE_CHECKING, Any

import click
from pulp_console.exits import DATA
from pulp_console.groups import examples
from pulp_console.ids import TaskId

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.arguments import example_of, given_arguments, problem_with, rows_of, typed
from pulp_admin.errors import Failure, NotFound
from pulp_admin.ids import TASK_ID, resolve
from pulp_admin.paths import api_path
from pulp_admin.start import accepted, watch_option

if TYPE_CHECKING:
    from uuid import UUID

_WORDS = "pulp_admin.submit.words"


class SubmitCommand(click.Command):
    """A command whose help also shows the operation's arguments, if the server answers quickly."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = list(args)
        if ctx.resilient_parsing and args and args[-1].startswith("-"):
            args = args[:-1]  # the shell completes its value; without one the parser would drop the other parameters
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        operation = self._operation(ctx)
        if operation is not None:
            _write_arguments(operation, formatter)
        super().format_options(ctx, formatter)

    def _operation(self, ctx: click.Context) -> dict[str, Any] | None:
        try:
            found, _, _ = self.make_parser(ctx).parse_args(list(ctx.meta.get(_WORDS, ())))
        except click.UsageError:
            return None
        name = found.get("operation")
        return completing.operation(ctx, name) if isinstance(name, str) else None


@click.command(
    cls=SubmitCommand,
    epilog=examples(
        "pulp-admin submit sync --help",
        "pulp-admin submit sync --argument repo_id=zoo \\",
        "    --argument feed=http://127.0.0.1:8000/zoo/",
    ),
)
@click.argument("operation", shell_complete=completing.operations)
@click.option(
    "--argument",
    "-a",
    "pairs",
    multiple=True,
    metavar="NAME=TEXT",
    shell_complete=completing.arguments,
    help="An argument of the operation, in the type that it declares; NAME:=JSON for any other. May be repeated.",
)
@click.option("--arguments", metavar="JSON", help="All arguments as one JSON object, or @FILE.")
@click.option(
    "--resource",
    "resources",
    multiple=True,
    metavar="TYPE:ID[:shared]",
    help="A resource that the task uses, exclusively or shared.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag of the task.")
@click.option(
    "--queue", metavar="NAME", shell_complete=completing.queues, help="The queue of the workers that may run it."
)
@click.option("--priority", type=click.IntRange(-1000, 1000), help="Higher runs first.")
@click.option(
    "--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="End an attempt that takes longer than this."
)
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    metavar="N",
    help="Retry the task this often after a failure. Default: as the operation declares.",
)
@click.option(
    "--deadline",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Fail the task after this time, counting all attempts.",
)
@click.option("--depends-on", type=TASK_ID, multiple=True, metavar="ID", help="Run only after this task has succeeded.")
@click.option("--parent", type=TASK_ID, metavar="ID", help="The task that this one belongs to.")
@click.option("--group", type=click.UUID, metavar="UUID", help="The group that the task joins: any UUID creates one.")
@click.option("--idempotency-key", metavar="KEY", help="Submissions with the same key create one task.")
@watch_option
@with_app
def submit(
    app: App,
    operation: str,
    pairs: tuple[str, ...],
    arguments: str | None,
    resources: tuple[str, ...],
    tags: tuple[str, ...],
    queue: str | None,
    priority: int | None,
    timeout: int | None,
    retries: int | None,
    deadline: int | None,
    depends_on: tuple[TaskId, ...],
    parent: TaskId | None,
    group: "UUID | None",
    idempotency_key: str | None,
    watch: bool,
) -> None:
    """Start a task of any operation that the workers know.

    `pulp-admin submit OPERATION --help` shows the arguments of an operation.
    """
    given: dict[str, Any] = {
        "resources": [resource_of(text) for text in resources] or None,
        "tags": list(tags) or None,
        "queue": queue,
        "priority": priority,
        "timeout_seconds": timeout,
        "retry": None if retries is None else {"retries": retries},
        "deadline_seconds": deadline,
        "depends_on": [resolve(app.client, each) for each in depends_on] or None,
        "parent_task": None if parent is None else resolve(app.client, parent),
        "group_id": None if group is None else str(group),
    }
    body = {key: value for key, value in given.items() if value is not None}
    named = given_arguments(pairs, arguments)
    body |= {"operation": operation, "arguments": as_declared(app, operation, named)}
    accepted(app, body, watch=watch, key=idempotency_key)


def as_declared(app: App, name: str, given: dict[str, Any], *, is_complete: bool = True) -> dict[str, Any]:
    """The arguments, converted to the declared types. Raises `Failure` for arguments that the server would refuse.

    Without `is_complete` they are only some of the arguments, which are converted and not checked.
    """
    try:
        operation = app.client.get(api_path("v3", "operations", name))
    except NotFound:
        return given  # the server lists the operations
    found = typed(given, operation)
    problem = problem_with(found, operation) if is_complete else None
    if problem is not None:
        raise Failure(f"{problem}\n{example_of(operation['example'])}", DATA)
    return found


def _write_arguments(operation: dict[str, Any], formatter: click.HelpFormatter) -> None:
    with formatter.section(f"Arguments of {operation['name']}"):
        rows = [] if operation["parameters"] is None else rows_of(operation)
        if rows:
            formatter.write_dl([(f"{name} ({kind})", _about(each)) for name, kind, *each in rows])
        else:
            none = (
                "The operation takes none."
                if operation["parameters"] is not None
                else "The operation declares none and accepts any."
            )
            formatter.write_text(none)
    with formatter.indentation():
        for line in example_of(operation["example"]).splitlines():  # not wrapped, so that it can be copied
            formatter.write(f"{' ' * formatter.current_indent}{line}\n")


def _about(row: list[str]) -> str:
    required, default, description = row
    match required:
        case "yes":
            note = "required"
        case "no":
            note = f"default: {default}"
        case _:
            note = "required where no earlier task had one"
    return f"{description}  [{note}]"


def resource_of(text: str) -> dict[str, str]:
    """The resource that a text names. Raises a usage error."""
    kind, _, rest = text.partition(":")
    name, colon, access = rest.rpartition(":")
    if not colon:
        name, access = rest, "exclusive"
    if not kind or not name:
        raise click.UsageError(f"--resource {text}: TYPE:ID or TYPE:ID:shared is expected")
    if access not in ("shared", "exclusive"):
        raise click.UsageError(
            f"--resource {text}: unknown access '{access}', it is exclusive or shared. "
            f"An ID that holds a colon needs it: {text}:exclusive"
        )
    return {"type": kind, "id": name, "access": access}
