"""Dead letters as stored, and the decisions about retrying or discarding one.

The command and the API both call `check_retry` or `check_discard`, and append what `act_on` and `headers_again` return.
These are pure; the readers work with both kinds of connection.
"""

from base64 import b64decode
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from psycopg import AsyncConnection
from psycopg.rows import class_row
from pulp_events.codec import decode, newer_version
from pulp_events.errors import BadInput, UndecodableRecord
from pulp_events.events import Event, RequestFacts, UnknownEvent, Unparked, Unparking
from pulp_events.task import Position

from pulp_projections.sql import load
from pulp_projections.writing.parking import Standing

_FILE: Final = "dead_letters.sql"
_BEHIND: Final[dict[str, LiteralString]] = {"behind": load("pulp_projections", _FILE)["behind"]}
_PIECES: Final = {name: load("pulp_projections", _FILE, _BEHIND)[name] for name in ("columns", "wanted")} | _BEHIND
STATEMENTS: Final = load("pulp_projections", _FILE, _PIECES)
"""`list` and `one` give rows of `StoredLetter`, for both kinds of connection."""
SHOWN: Final = frozenset(Standing) - {Standing.WAITS}
"""The standings in a list without a task and a standing."""


class DeadLetterNotFound(BadInput):
    """No dead letter exists at this position."""

    def __init__(self, position: Position) -> None:
        super().__init__(
            f"there is no dead letter at {position}: it was projected meanwhile, or it never was one. To see which ones"
            " there are: dead-letters list"
        )


class StillUndecodable(BadInput):
    """The dead letter cannot be retried: this release does not understand the record either."""


class NotParked(BadInput):
    """The dead letter is not what its task waits for."""


_INSTEAD: Final = {
    Standing.DEAD: "append what it should have been as a new event",
    Standing.DISCARDED: "append what it should have been as a new event",
    Standing.PARKS: "discard it, and append what it should have been as a new event",
}


class StoredLetter(Struct, frozen=True, kw_only=True):
    """A dead letter as stored in the read model."""

    partition: int
    record_offset: int
    broker_time: datetime
    reason: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | None]]
    """The record's headers: name, and value in base64."""
    sent: bool
    """Whether it has been published to the dead-letter topic."""
    task_id: UUID | None = None
    """The task that it belongs to."""
    standing: Standing = Standing.DEAD
    behind: int = 0
    """The number of records of its task that wait behind it."""
    parked_by: int | None = None
    """For a record that waits, the offset of the record that parks its task."""

    @property
    def position(self) -> Position:
        """The record's position in the log."""
        return Position(self.partition, self.record_offset)

    def original_headers(self) -> list[tuple[str, bytes | None]]:
        """The record's headers as they are in the log."""
        return [(name, None if value is None else b64decode(value)) for name, value in self.headers]


class LetterRow(NamedTuple):
    """A dead letter in a list, without its contents."""

    partition: int
    record_offset: int
    broker_time: datetime
    reason: str
    size_bytes: int | None
    """The size of the record's value; None if it has none."""
    sent: bool
    standing: Standing
    task_id: UUID | None
    behind: int


def check_retry(letter: StoredLetter) -> None:
    """Returns if a retry may help. Raises `NotParked` for a letter that waits, and `StillUndecodable`."""
    _check_order(letter)
    try:
        event = decode(letter.key, letter.value)
    except UndecodableRecord as error:
        raise StillUndecodable(
            f"the record at {letter.position} cannot be projected: {error.reason}. Nothing was appended;"
            f" {_INSTEAD[letter.standing]}"
        ) from error
    if isinstance(event, UnknownEvent) and (newer := newer_version(event.type)) is not None:
        raise StillUndecodable(
            f"the record at {letter.position} is not understood: {newer}. Nothing was appended; upgrade first"
        )


def check_discard(letter: StoredLetter) -> None:
    """Returns if it can be discarded: it parks its task. Raises `NotParked`."""
    _check_order(letter)
    if letter.standing != Standing.PARKS:
        raise NotParked(
            f"the record at {letter.position} parks no task: nothing waits for it, so there is nothing to do"
        )


def act_on(
    letter: StoredLetter,
    action: Unparking,
    *,
    event_id: UUID,
    now: datetime,
    actor: str,
    reason: str | None,
    correlation_id: str | None = None,
    request: RequestFacts | UnsetType = UNSET,
) -> Event:
    """The event that lets the parked task of the dead letter continue. It belongs to the letter's partition."""
    assert letter.task_id is not None
    return Event(
        id=event_id,
        task_id=letter.task_id,
        time=now,
        actor=actor,
        correlation_id=correlation_id,
        data=Unparked(action=action, offset=letter.record_offset, reason=reason, request=request),
    )


def headers_again(letter: StoredLetter, topic: str) -> tuple[tuple[str, bytes | None], ...]:
    """The headers for appending again a record that parks no task: its own, and where it was."""
    return (*letter.original_headers(), ("retry-of", coordinates(topic, letter.position).encode()))


def coordinates(topic: str, position: Position) -> str:
    """TOPIC/PARTITION/OFFSET: the key of a dead letter in the dead-letter topic."""
    return f"{topic}/{position.partition}/{position.offset}"


async def find_letter(connection: AsyncConnection, position: Position) -> StoredLetter:
    """One dead letter of the active generation. Raises `DeadLetterNotFound`."""
    async with connection.cursor(row_factory=class_row(StoredLetter)) as cursor:
        await cursor.execute(STATEMENTS["one"], {"partition": position.partition, "offset": position.offset})
        letter = await cursor.fetchone()
    if letter is None:
        raise DeadLetterNotFound(position)
    return letter


async def page_of_letters(
    connection: AsyncConnection,
    *,
    limit: int,
    offset: int,
    task_id: UUID | None = None,
    partition: int | None = None,
    standings: Collection[Standing] = SHOWN,
) -> tuple[list[LetterRow], int]:
    """A page of the dead letters with these standings, of one task or partition, newest first, and their number."""
    wanted: dict[str, Any] = {"task_id": task_id, "partition": partition, "standings": list(standings)}
    cursor = await connection.execute(STATEMENTS["page"], {**wanted, "limit": limit, "skip": offset})
    rows = [LetterRow._make(row) for row in await cursor.fetchall()]
    [(total,)] = await (await connection.execute(STATEMENTS["count"], wanted)).fetchall()
    return [row._replace(standing=Standing(row.standing)) for row in rows], total


def _check_order(letter: StoredLetter) -> None:
    if letter.standing == Standing.WAITS:
        first = "an earlier one" if letter.parked_by is None else Position(letter.partition, letter.parked_by)
        raise NotParked(f"the record at {letter.position} waits behind {first}: retry or discard that one")
