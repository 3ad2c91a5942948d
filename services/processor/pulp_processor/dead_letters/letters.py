"""Dead letters: records of the log that are not events, or that Postgres cannot store.

The projector writes each into the read model in its batch's transaction, and `DeadLetterPublisher` publishes it to the
dead-letter topic. One that belongs to a task parks it: later records of the task wait among the dead letters too. This
module serves the operator's commands: list them, show one, retry or discard one. Synchronous.
"""

from base64 import b64decode
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from confluent_kafka import Producer
from msgspec import Struct
from psycopg import Connection
from psycopg.rows import class_row
from pulp_events.codec import HEADERS, decode, encode, key_of, newer_version
from pulp_events.errors import BadInput, UndecodableRecord
from pulp_events.events import Event, UnknownEvent, Unparked, Unparking
from pulp_events.ids import new_id
from pulp_events.task import Position
from pulp_events.topics import Topics
from pulp_projections.sql import load
from pulp_projections.writing.parking import Standing

from pulp_processor.dead_letters.raw_producer import RawRecord, append

_BEHIND: Final = load("pulp_processor.dead_letters", "dead_letters.sql")["behind"]
_SQL: Final = load("pulp_processor.dead_letters", "dead_letters.sql", {"behind": _BEHIND})


class DeadLetterNotFound(BadInput):
    """There is no dead letter at this position."""


class StillUndecodable(BadInput):
    """The current codec cannot decode the record either."""


class NotParked(BadInput):
    """The record parks no task, so it cannot let one go on."""


_HEADERS: Final = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in HEADERS)
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
    """How many records of its task wait behind it."""

    @property
    def position(self) -> Position:
        """The record's position in the log."""
        return Position(self.partition, self.record_offset)

    def original_headers(self) -> list[tuple[str, bytes | None]]:
        """The record's headers as they are in the log."""
        return [(name, None if value is None else b64decode(value)) for name, value in self.headers]


def list_letters(
    connection: Connection[Any], *, after: Position | None = None, limit: int = 100, task_id: UUID | None = None
) -> list[StoredLetter]:
    """At most `limit` dead letters of the active generation, ordered by (partition, offset), after a position.

    Records that wait are among them only if those of one task are asked for.
    """
    partition, offset = after or (-1, -1)
    values = {"partition": partition, "offset": offset, "limit": limit, "task_id": task_id}
    with connection.cursor(row_factory=class_row(StoredLetter)) as cursor:
        cursor.execute(_SQL["list"], values)
        return cursor.fetchall()


def show_letter(connection: Connection[Any], position: Position) -> StoredLetter:
    """One dead letter; raises `DeadLetterNotFound`."""
    with connection.cursor(row_factory=class_row(StoredLetter)) as cursor:
        cursor.execute(_SQL["one"], {"partition": position.partition, "offset": position.offset})
        letter = cursor.fetchone()
    if letter is None:
        raise DeadLetterNotFound(f"there is no dead letter at {position}")
    return letter


def check_retry(connection: Connection[Any], position: Position) -> StoredLetter:
    """The dead letter, if `retry_letter` may do something for it. Raises what that raises, except about the log."""
    letter = show_letter(connection, position)
    if letter.standing == Standing.WAITS:
        raise NotParked(
            f"the record at {position} waits behind {_first(connection, letter)}: retry or discard that one"
        )
    try:
        event = decode(letter.key, letter.value)
    except UndecodableRecord as error:
        raise StillUndecodable(
            f"the record at {position} is no event: {error.reason}. Nothing was appended; {_INSTEAD[letter.standing]}"
        ) from error
    if isinstance(event, UnknownEvent) and (newer := newer_version(event.type)) is not None:
        raise StillUndecodable(
            f"the record at {position} is not understood: {newer}. Nothing was appended; upgrade first"
        )
    return letter


def retry_letter(
    connection: Connection[Any],
    producer: Producer,
    topics: Topics,
    position: Position,
    *,
    actor: str,
    reason: str | None = None,
) -> Position:
    """Have the record projected, and return the position of what was appended for that.

    If it parks its task, that is an `unparked` event: then it and those behind it are projected where they are. Any
    other one is appended again, byte for byte, to its partition; the dead letter stays, as a fact about its own offset.
    Retrying it twice is harmless. `producer` comes from `raw_producer.make`. Raises `StillUndecodable`,
    `DeadLetterNotFound`, `NotParked` for one that waits, `LogUnavailable` (nothing was appended),
    `AppendOutcomeUnknown`.
    """
    letter = check_retry(connection, position)
    if letter.standing == Standing.PARKS:
        return _unpark(producer, topics, letter, Unparking.RETRY, actor, reason)
    origin = ("retry-of", coordinates(topics.events, position).encode())
    headers = (*letter.original_headers(), origin)
    (appended,) = append(producer, topics.events, [RawRecord(letter.key, letter.value, headers, position.partition)])
    return appended


def check_discard(connection: Connection[Any], position: Position) -> StoredLetter:
    """The dead letter, if it can be discarded: it parks its task. Raises `DeadLetterNotFound`, `NotParked`."""
    letter = show_letter(connection, position)
    if letter.standing == Standing.WAITS:
        raise NotParked(
            f"the record at {position} waits behind {_first(connection, letter)}: retry or discard that one"
        )
    if letter.standing != Standing.PARKS:
        raise NotParked(f"the record at {position} parks no task: nothing waits for it, so there is nothing to do")
    return letter


def discard_letter(
    connection: Connection[Any],
    producer: Producer,
    topics: Topics,
    position: Position,
    *,
    actor: str,
    reason: str | None = None,
) -> Position:
    """Have its task go on without the record, and return the position of the `unparked` event that says so.

    Raises what `check_discard` raises, `LogUnavailable` (nothing was appended), `AppendOutcomeUnknown`.
    """
    letter = check_discard(connection, position)
    return _unpark(producer, topics, letter, Unparking.DISCARD, actor, reason)


def _unpark(
    producer: Producer, topics: Topics, letter: StoredLetter, action: Unparking, actor: str, reason: str | None
) -> Position:
    assert letter.task_id is not None
    event = Event(
        id=new_id(),
        task_id=letter.task_id,
        time=datetime.now(UTC),
        actor=actor,
        data=Unparked(action=action, offset=letter.record_offset, reason=reason),
    )
    record = RawRecord(key_of(event.task_id), encode(event), _HEADERS, letter.partition)
    (appended,) = append(producer, topics.events, [record])
    return appended


def _first(connection: Connection[Any], letter: StoredLetter) -> Position:
    values = {"partition": letter.partition, "task_id": letter.task_id}
    [(offset,)] = connection.execute(_SQL["parks"], values).fetchall()
    return Position(letter.partition, offset)


def coordinates(topic: str, position: Position) -> str:
    """TOPIC/PARTITION/OFFSET: the key of a dead letter in the dead-letter topic."""
    return f"{topic}/{position.partition}/{position.offset}"
