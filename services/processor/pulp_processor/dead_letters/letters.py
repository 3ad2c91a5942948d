"""Dead letters: records of the log that are not events, or that Postgres cannot store.

The projector writes each into the read model in its batch's transaction, and `DeadLetterPublisher` publishes it to the
dead-letter topic. This module serves the operator's commands: list them, show one, append one again. Synchronous.
"""

from base64 import b64decode
from datetime import datetime
from typing import Any, Final

from confluent_kafka import Producer
from msgspec import Struct
from psycopg import Connection
from psycopg.rows import class_row
from pulp_events.codec import decode
from pulp_events.errors import BadInput, UndecodableRecord
from pulp_events.task import Position
from pulp_events.topics import Topics
from pulp_projections.sql import load

from pulp_processor.dead_letters.raw_producer import RawRecord, append

_SQL: Final = load("pulp_processor.dead_letters", "dead_letters.sql")


class DeadLetterNotFound(BadInput):
    """There is no dead letter at this position."""


class StillUndecodable(BadInput):
    """The current codec cannot decode the record either."""


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

    @property
    def position(self) -> Position:
        """The record's position in the log."""
        return Position(self.partition, self.record_offset)

    def original_headers(self) -> list[tuple[str, bytes | None]]:
        """The record's headers as they are in the log."""
        return [(name, None if value is None else b64decode(value)) for name, value in self.headers]


def list_letters(connection: Connection[Any], *, after: Position | None = None, limit: int = 100) -> list[StoredLetter]:
    """At most `limit` dead letters of the active generation, ordered by (partition, offset), after a position."""
    partition, offset = after or (-1, -1)
    with connection.cursor(row_factory=class_row(StoredLetter)) as cursor:
        cursor.execute(_SQL["list"], {"partition": partition, "offset": offset, "limit": limit})
        return cursor.fetchall()


def show_letter(connection: Connection[Any], position: Position) -> StoredLetter:
    """One dead letter; raises `DeadLetterNotFound`."""
    with connection.cursor(row_factory=class_row(StoredLetter)) as cursor:
        cursor.execute(_SQL["one"], {"partition": position.partition, "offset": position.offset})
        letter = cursor.fetchone()
    if letter is None:
        raise DeadLetterNotFound(f"there is no dead letter at {position}")
    return letter


def retry_letter(connection: Connection[Any], producer: Producer, topics: Topics, position: Position) -> Position:
    """Append the record again, byte for byte, to its partition, and return its new position.

    The dead letter itself stays, because it is a fact about its own offset. Retrying it twice is harmless, like any
    duplicate event. `producer` comes from `raw_producer.make`. Raises `StillUndecodable`, `DeadLetterNotFound`,
    `LogUnavailable` (nothing was appended), `AppendOutcomeUnknown`.
    """
    letter = show_letter(connection, position)
    try:
        decode(letter.key, letter.value)
    except UndecodableRecord as error:
        raise StillUndecodable(
            f"the record at {position} is no event: {error.reason}. Nothing was appended;"
            " append what it should have been as a new event"
        ) from error
    origin = ("retry-of", coordinates(topics.events, position).encode())
    headers = (*letter.original_headers(), origin)
    (appended,) = append(producer, topics.events, [RawRecord(letter.key, letter.value, headers, position.partition)])
    return appended


def coordinates(topic: str, position: Position) -> str:
    """TOPIC/PARTITION/OFFSET: the key of a dead letter in the dead-letter topic."""
    return f"{topic}/{position.partition}/{position.offset}"
