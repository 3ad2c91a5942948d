"""`pulp-tasks dead-letters`: records of the log that are not events."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.exits import DATA
from pulp_console.groups import Group, examples
from pulp_console.output import hint, show, table

from pulp_deploy.commands.completing import positions as known_positions
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.postgres import connected
from pulp_deploy.commands.target import Target, data_option

if TYPE_CHECKING:
    from confluent_kafka import Producer
    from psycopg import Connection
    from pulp_events.task import Position
    from pulp_processor.dead_letters.letters import StoredLetter

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
    """Inspect records of the log that are not events; retry them.

    The stream goes on without them: each is kept in the database, and sent to the dead-letter topic. They are named by
    their position in the log, PARTITION:OFFSET.
    """


@dead_letters.command("list", epilog=examples("pulp-tasks dead-letters list --output json | jq -r '.[].position'"))
@click.option("--after", type=PositionType(), shell_complete=known_positions, help="Only those after this position.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most this many. Default: all.")
@data_option
@output_option
def list_(after: "Position | None", limit: int | None, data: Path | None, output: str) -> None:
    """List them, with the reason why each is not an event.

    In order of partition and offset.
    """
    from pulp_deploy.commands.letters import ROW, row, summary

    target = Target.find(data)
    with connected(target) as connection:
        # One at a time: a value may have a megabyte, and is not shown.
        found = [summary(letter, target) for letter in _letters(connection, after, limit)]
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

    Exits 66 if there is none. A long value is cut; --raw and --output json have the whole.
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


@dead_letters.command(epilog=examples("pulp-tasks dead-letters retry 3:1042", "pulp-tasks dead-letters retry --all"))
@click.argument("positions", type=PositionType(), nargs=-1, metavar="[POSITION]...", shell_complete=known_positions)
@click.option("--all", "retries_all", is_flag=True, help="Append all that are understood now; leave the others.")
@data_option
@output_option
def retry(positions: "tuple[Position, ...]", retries_all: bool, data: Path | None, output: str) -> None:
    """Append records again, after an upgrade that understands them.

    The new record is the same, byte for byte, at the end of the same partition. The dead letter stays, as a fact about
    its own offset. It is harmless to retry one twice. Exits 65 if a record that was named is still not an event
    (nothing is appended for it), 66 if there is none at a position, 75 if Kafka did not confirm: retry it again.
    """
    if bool(positions) is retries_all:
        raise click.UsageError("Give positions, or --all.")
    from pulp_processor.dead_letters import raw_producer

    target = Target.find(data)
    producer = raw_producer.make(target.need_kafka())
    results: list[dict[str, Any]] = []
    try:
        with connected(target) as connection:
            # Collect them first: a record that is refused again becomes a dead letter at a later offset.
            wanted = [letter.position for letter in _letters(connection, None, None)] if retries_all else positions
            for position in wanted:
                results.append(_retry(connection, producer, target, position))
                if output == "table":
                    _tell(results[-1])
    finally:
        if output != "table":
            show(output, results, list)
    left = sum(result["appended"] is None for result in results)
    if retries_all and output == "table":
        click.echo(f"{len(results) - left} appended, {left} left: they are still not events")
    if left and not retries_all:
        raise click.exceptions.Exit(DATA)


def _retry(connection: "Connection[Any]", producer: "Producer", target: Target, position: "Position") -> dict[str, Any]:
    from pulp_processor.dead_letters.letters import StillUndecodable, retry_letter

    try:
        appended = retry_letter(connection, producer, target.topics, position)
    except StillUndecodable as error:
        return {"position": str(position), "appended": None, "error": str(error)}
    return {"position": str(position), "appended": str(appended), "error": None}


def _tell(result: dict[str, Any]) -> None:
    if result["error"] is None:
        click.echo(f"{result['position']}  appended at {result['appended']}")
    else:
        hint(f"{result['position']}  {result['error']}")


def _letters(connection: "Connection[Any]", after: "Position | None", limit: int | None) -> "Iterator[StoredLetter]":
    """Read dead letters page by page: there may be very many."""
    from pulp_processor.dead_letters.letters import list_letters

    left = limit
    while left is None or left > 0:
        page = list_letters(connection, after=after, limit=_PAGE if left is None else min(left, _PAGE))
        if not page:
            return
        yield from page
        after = page[-1].position
        left = None if left is None else left - len(page)
