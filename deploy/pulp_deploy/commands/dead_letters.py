"""`pulp-tasks dead-letters`: records of the log that are no events."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import click
import psycopg
from confluent_kafka import Producer
from psycopg import Connection, errors
from pulp_events.errors import ReadModelUnavailable
from pulp_events.task import Position
from pulp_processor import raw_producer
from pulp_processor.dead_letters import (
    StillUndecodable,
    StoredLetter,
    coordinates,
    list_letters,
    retry_letter,
    show_letter,
)

from pulp_deploy.commands.target import Target, data_option

_PAGE: Final = 50  # each may have a megabyte
_DATA_ERROR: Final = 65


class Place(click.ParamType):
    """PARTITION:OFFSET."""

    name = "PARTITION:OFFSET"

    def convert(self, value: str | Position, param: click.Parameter | None, ctx: click.Context | None) -> Position:
        if isinstance(value, Position):
            return value
        partition, colon, offset = value.partition(":")
        if not (colon and partition.isdecimal() and offset.isdecimal()):
            self.fail(f"{value} is no position such as 3:1042", param, ctx)
        return Position(int(partition), int(offset))


_output = click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.group("dead-letters", epilog="Example: pulp-tasks dead-letters list")
def dead_letters() -> None:
    """Look at records of the log that are no events, and append them again.

    The stream goes on without them: each is kept in the database, and sent to the dead-letter topic. They are named by
    their position in the log, PARTITION:OFFSET.
    """


@dead_letters.command("list", epilog="Example: pulp-tasks dead-letters list --output json | jq -r '.[].position'")
@click.option("--after", type=Place(), help="Only those after this position.")
@click.option("--limit", type=click.IntRange(1), help="At most so many (all).")
@_output
@data_option
def list_(after: Position | None, limit: int | None, output: str, data: Path | None) -> None:
    """List them in order of partition and offset, with the reason why each is no event."""
    target = Target.find(data)
    with _connected(target) as connection:
        letters = _letters(connection, after, limit)
        if output == "json":
            _echo_json([_summary(letter, target) for letter in letters])
            return
        click.echo(f"{'POSITION':<14}{'TIME':<22}{'SIZE':>9}  {'SENT':<6}REASON")
        for letter in letters:
            size = "-" if letter.value is None else str(len(letter.value))
            sent = "yes" if letter.sent else "no"
            click.echo(f"{_place(letter):<14}{_time(letter):<22}{size:>9}  {sent:<6}{_shown(letter.reason, 120)}")


@dead_letters.command(epilog="Examples: pulp-tasks dead-letters show 3:1042 · … show 3:1042 --raw > record")
@click.argument("position", type=Place())
@click.option("--raw", is_flag=True, help="The value alone, byte for byte.")
@_output
@data_option
def show(position: Position, raw: bool, output: str, data: Path | None) -> None:
    """Show the record at POSITION: why it is no event, its key, headers and value. Exits 66 if there is none.

    A long value is cut; --raw and --output json have the whole.
    """
    target = Target.find(data)
    with _connected(target) as connection:
        letter = show_letter(connection, position)
    if raw:
        click.get_binary_stream("stdout").write(letter.value or b"")
    elif output == "json":
        _echo_json(_summary(letter, target) | _contents(letter))
    else:
        _show(letter, target)


@dead_letters.command(epilog="Examples: pulp-tasks dead-letters retry 3:1042 · pulp-tasks dead-letters retry --all")
@click.argument("positions", type=Place(), nargs=-1, metavar="[POSITION]...")
@click.option("--all", "retries_all", is_flag=True, help="Every one that is understood now; the others are left.")
@_output
@data_option
def retry(positions: tuple[Position, ...], retries_all: bool, output: str, data: Path | None) -> None:
    """Append records once more, byte for byte, after an upgrade that understands them.

    The new record is at the end of the same partition; the dead letter stays, as a fact about its own offset. To retry
    one twice is harmless. Exits 65 if a record that was named is still no event (nothing is appended for it), 66 if
    there is none at a position, 75 if Kafka did not confirm: retry it again.
    """
    if bool(positions) is retries_all:
        raise click.UsageError("give positions, or --all")
    target = Target.find(data)
    producer = raw_producer.make(target.need_kafka())
    results: list[dict[str, Any]] = []
    try:
        with _connected(target) as connection:
            # All first: a record that is refused again is a dead letter again, further on.
            wanted = [letter.position for letter in _letters(connection, None, None)] if retries_all else positions
            for position in wanted:
                results.append(_retry(connection, producer, target, position))
                if output == "table":
                    _tell(results[-1])
    finally:
        if output == "json":
            _echo_json(results)
    left = sum(result["appended"] is None for result in results)
    if retries_all and output == "table":
        click.echo(f"{len(results) - left} appended, {left} left: they are still no events")
    if left and not retries_all:
        raise click.exceptions.Exit(_DATA_ERROR)


def _retry(connection: Connection[Any], producer: Producer, target: Target, position: Position) -> dict[str, Any]:
    place = f"{position.partition}:{position.offset}"
    try:
        appended = retry_letter(connection, producer, target.topics, position)
    except StillUndecodable as error:
        return {"position": place, "appended": None, "error": str(error)}
    return {"position": place, "appended": f"{appended.partition}:{appended.offset}", "error": None}


def _tell(result: dict[str, Any]) -> None:
    if result["error"] is None:
        click.echo(f"{result['position']}  appended at {result['appended']}")
    else:
        click.echo(f"{result['position']}  {_shown(result['error'], 500)}", err=True)


def _letters(connection: Connection[Any], after: Position | None, limit: int | None) -> Iterator[StoredLetter]:
    """Page by page: there may be very many."""
    left = limit
    while left is None or left > 0:
        page = list_letters(connection, after=after, limit=_PAGE if left is None else min(left, _PAGE))
        if not page:
            return
        yield from page
        after = page[-1].position
        left = None if left is None else left - len(page)


@contextmanager
def _connected(target: Target) -> Iterator[Connection[Any]]:
    try:
        with psycopg.connect(target.need_postgres(), autocommit=True, connect_timeout=10) as connection:
            yield connection
    except errors.UndefinedTable as error:
        raise ReadModelUnavailable("the database has no read model yet: start a processor, which makes it") from error
    except psycopg.OperationalError as error:
        raise ReadModelUnavailable(f"Postgres does not answer: {' '.join(str(error).split())}") from error


def _summary(letter: StoredLetter, target: Target) -> dict[str, Any]:
    return {
        "position": _place(letter),
        "partition": letter.partition,
        "offset": letter.record_offset,
        "coordinates": coordinates(target.topics.events, letter.position),
        "time": _time(letter),
        "reason": letter.reason,
        "size_bytes": None if letter.value is None else len(letter.value),
        "sent": letter.sent,
    }


def _contents(letter: StoredLetter) -> dict[str, Any]:
    return {
        "key_base64": _base64(letter.key),
        "value_base64": _base64(letter.value),
        "value": _text_of(letter.value),
        "headers": [{"name": name, "value_base64": value} for name, value in letter.headers],
    }


def _show(letter: StoredLetter, target: Target) -> None:
    click.echo(f"Position  {_place(letter)} of {target.topics.events}")
    click.echo(f"Time      {_time(letter)}")
    click.echo(f"Reason    {_shown(letter.reason)}")
    click.echo(f"Sent      {f'yes, to {target.topics.dead_letters}' if letter.sent else 'not yet'}")
    click.echo(f"Key       {_bytes(letter.key)}")
    for name, value in letter.original_headers():
        click.echo(f"Header    {_shown(name)}: {_bytes(value)}")
    click.echo(f"Value     {_bytes(letter.value)}")


def _place(letter: StoredLetter) -> str:
    return f"{letter.partition}:{letter.record_offset}"


def _time(letter: StoredLetter) -> str:
    return f"{letter.broker_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _bytes(value: bytes | None, limit: int = 2000) -> str:
    """On one line; what is no text in base64. The whole is in --raw and --output json."""
    if value is None:
        return "none"
    text = _text_of(value)
    return f"{len(value)} byte{'' if len(value) == 1 else 's'}: " + _shown(
        text if text is not None else f"base64 {_base64(value)}", limit
    )


def _shown(text: str, limit: int | None = None) -> str:
    """Without control characters of a stranger, which a terminal would obey."""
    safe = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return safe if limit is None or len(safe) <= limit else safe[: limit - 1] + "…"


def _text_of(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))
