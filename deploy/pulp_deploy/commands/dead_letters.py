"""`pulp-tasks dead-letters`: records of the log that cannot be projected."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.exits import DATA
from pulp_console.groups import Group, examples
from pulp_console.output import hint, show, table

from pulp_deploy.commands.completing import positions as known_positions
from pulp_deploy.commands.completing import task_ids
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.postgres import connected
from pulp_deploy.commands.target import Target, data_option

if TYPE_CHECKING:
    from uuid import UUID

    from psycopg import Connection
    from pulp_events.task import Position
    from pulp_projections.dead_letters import StoredLetter

_PAGE: Final = 50  # each may have a megabyte


class PositionType(click.ParamType):
    """PARTITION:OFFSET."""

    name = "PARTITION:OFFSET"

    def convert(self, value: "str | Position", param: click.Parameter | None, ctx: click.Context | None) -> "Position":
        from pulp_events.task import Position

        if isinstance(value, Position):
            return value
        try:
            return Position.parse(value.strip())
        except ValueError:
            self.fail(f"{value!r} is not a position such as 3:1042", param, ctx)


@click.group("dead-letters", cls=Group, epilog=examples("pulp-tasks dead-letters list"))
def dead_letters() -> None:
    """Inspect, retry or discard records that cannot be projected.

    The database keeps each, and the dead-letter topic gets it. If it belongs to a task, it parks that task: later
    records of the task wait behind it, in order, until it is retried or discarded. All other tasks go on. Commands name
    a record by its position in the log, PARTITION:OFFSET.
    """


@dead_letters.command(
    "list",
    epilog=examples(
        "pulp-tasks dead-letters list --output json | jq -r '.[].position'",
        "pulp-tasks dead-letters list --task-id 9c3f1f5c-6c8f-4f0e-9d49-6b1f3a3c1f7e",
    ),
)
@click.option("--after", type=PositionType(), shell_complete=known_positions, help="Only those after this position.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most this many. Default: all.")
@click.option(
    "--task-id", type=click.UUID, shell_complete=task_ids, help="Only those of this task, with the records that wait."
)
@data_option
@output_option
def list_(after: "Position | None", limit: int | None, task_id: "UUID | None", data: Path | None, output: str) -> None:
    """List them, with the reason why each cannot be projected.

    In order of partition and offset. STANDING says what a record means for its task: dead (it belongs to none), parks,
    discarded, or waits (see --task-id). BEHIND is how many records wait behind one that parks its task.
    """
    from pulp_deploy.commands.letters import ROW, row, summary

    target = Target.find(data)
    with connected(target) as connection:
        # One at a time: a value may have a megabyte, and is not shown.
        found = [summary(letter, target) for letter in _letters(connection, after, limit, task_id)]
    show(output, found, lambda: table([row(each) for each in found], ROW, width=None))
    if not found:
        hint("There are no dead letters.")


@dead_letters.command(
    "show", epilog=examples("pulp-tasks dead-letters show 3:1042", "pulp-tasks dead-letters show 3:1042 --raw > record")
)
@click.argument("position", type=PositionType(), shell_complete=known_positions)
@click.option("--raw", is_flag=True, help="Write the value alone, byte for byte.")
@data_option
@output_option
def show_(position: "Position", raw: bool, data: Path | None, output: str) -> None:
    """Show the record at POSITION: reason, key, headers, value.

    Exits 66 if there is none. It cuts a long value; --raw and --output json have all of it.
    """
    from pulp_processor.dead_letters.letters import show_letter

    from pulp_deploy.commands.letters import contents, page, summary

    target = Target.find(data)
    with connected(target) as connection:
        letter = show_letter(connection, position)
    if raw:
        click.get_binary_stream("stdout").write(letter.value or b"")
    else:
        show(output, summary(letter, target) | contents(letter), lambda: page(letter, target))


_reason = click.option("--reason", help="The reason; the task's history and the audit keep it.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would be done, and append nothing.")


@dead_letters.command(
    epilog=examples(
        "pulp-tasks dead-letters retry 3:1042",
        "pulp-tasks dead-letters retry --all --dry-run",
        'pulp-tasks dead-letters retry --all --reason "upgraded to 2.4"',
    )
)
@click.argument("positions", type=PositionType(), nargs=-1, metavar="[POSITION]...", shell_complete=known_positions)
@click.option("--all", "retries_all", is_flag=True, help="Retry all that can be understood now; leave the others.")
@_reason
@_dry_run
@data_option
@output_option
def retry(
    positions: "tuple[Position, ...]",
    retries_all: bool,
    reason: str | None,
    dry_run: bool,
    data: Path | None,
    output: str,
) -> None:
    """Project records that can be understood now.

    If a record parks its task, it appends an event that says so; then the processor projects the record and those
    behind it in order, as if nothing had happened. It appends any other record again, byte for byte, at the end of its
    partition; the dead letter stays, as a fact about its own offset. Retrying one twice is harmless. Exits 65 if a
    named record cannot be retried (nothing is appended for it), 66 if there is none at a position, 75 if Kafka did not
    confirm: look at the list before you retry it again.
    """
    if bool(positions) is retries_all:
        raise click.UsageError("Give positions, or --all.")
    from pulp_processor.dead_letters.letters import check_retry, retry_letter

    results = _act(
        Target.find(data), positions, check_retry, retry_letter, reason=reason, dry_run=dry_run, output=output
    )
    left = sum(result["error"] is not None for result in results)
    if retries_all and output == "table":
        done = "would be retried" if dry_run else "retried"
        told = f", {left} left: they still cannot be projected" if left else ""
        click.echo(f"{len(results) - left} {done}{told}")
    if left and not retries_all:
        raise click.exceptions.Exit(DATA)


@dead_letters.command(
    epilog=examples(
        "pulp-tasks dead-letters discard 3:1042 --dry-run",
        'pulp-tasks dead-letters discard 3:1042 --reason "by a broken script" --yes',
    )
)
@click.argument(
    "positions", type=PositionType(), nargs=-1, required=True, metavar="POSITION...", shell_complete=known_positions
)
@_reason
@_dry_run
@yes_option
@data_option
@output_option
def discard(
    positions: "tuple[Position, ...]",
    reason: str | None,
    dry_run: bool,
    is_sure: bool,
    data: Path | None,
    output: str,
) -> None:
    """Let tasks go on without the records that park them.

    It appends an event that says so; then the processor projects the records behind in order. A discarded record stays
    in the log, and in the list as discarded. This cannot be undone. Exits 65 if a record parks no task, 66 if there is
    none at a position, 75 if Kafka did not confirm: look at the list before you discard it again.
    """
    from pulp_processor.dead_letters.letters import check_discard, discard_letter

    if not dry_run:
        what = "the record" if len(positions) == 1 else f"{len(positions)} records"
        confirm(f"Let the task go on without {what} at {', '.join(map(str, positions))}?", is_sure=is_sure)
    results = _act(
        Target.find(data), positions, check_discard, discard_letter, reason=reason, dry_run=dry_run, output=output
    )
    if any(result["error"] is not None for result in results):
        raise click.exceptions.Exit(DATA)


def _act(
    target: Target,
    positions: "Sequence[Position]",
    check: "Callable[[Connection[Any], Position], StoredLetter]",
    act: "Callable[..., Position]",
    *,
    reason: str | None,
    dry_run: bool,
    output: str,
) -> list[dict[str, Any]]:
    """Act on each of the positions, or on all where it is possible, and report what was done for each."""
    from pulp_processor.dead_letters import raw_producer
    from pulp_projections.dead_letters import NotParked, StillUndecodable

    from pulp_deploy.audit_trail import operator

    producer = None if dry_run else raw_producer.make(target.need_kafka())
    results: list[dict[str, Any]] = []
    try:
        with connected(target) as connection:
            # Collect them first: a record that is refused again becomes a dead letter at a later offset.
            found = () if positions else _letters(connection, None, None)
            wanted = positions or [letter.position for letter in found if letter.standing != "discarded"]
            for position in wanted:
                result: dict[str, Any] = {"position": str(position), "appended": None, "behind": 0, "error": None}
                try:
                    letter = check(connection, position)
                    result["behind"] = letter.behind
                    if producer is not None:
                        appended = act(connection, producer, target.topics, position, actor=operator(), reason=reason)
                        result["appended"] = str(appended)
                        if letter.standing != "parks":  # no event records it
                            _audit(target, position, reason)
                except (NotParked, StillUndecodable) as error:
                    result["error"] = str(error)
                results.append(result)
                if output == "table":
                    _tell(result, dry_run)
    finally:
        if output != "table":
            show(output, results, list)
    return results


def _audit(target: Target, position: "Position", reason: str | None) -> None:
    from pulp_events.audit import What

    from pulp_deploy.audit_trail import audit_change

    kafka, detail = target.need_kafka(), reason or ""
    fault = audit_change(kafka, target.topics, What.DEAD_LETTER_RETRIED, target=str(position), detail=detail)
    if fault is not None:
        hint(f"{position}  it is retried, but this is not in the audit: {fault}")


def _tell(result: dict[str, Any], dry_run: bool) -> None:
    if result["error"] is not None:
        hint(f"{result['position']}  {result['error']}")
    elif dry_run:
        click.echo(f"{result['position']}  would be done; behind it: {result['behind']}")
    else:
        click.echo(f"{result['position']}  appended at {result['appended']}")


def _letters(
    connection: "Connection[Any]", after: "Position | None", limit: int | None, task_id: "UUID | None" = None
) -> "Iterator[StoredLetter]":
    """Read dead letters page by page: there may be very many."""
    from pulp_processor.dead_letters.letters import list_letters

    left = limit
    while left is None or left > 0:
        most = _PAGE if left is None else min(left, _PAGE)
        page = list_letters(connection, after=after, limit=most, task_id=task_id)
        if not page:
            return
        yield from page
        after = page[-1].position
        left = None if left is None else left - len(page)
