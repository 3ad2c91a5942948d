"""Dead letters: records of the log that are no events, or that Postgres cannot hold.

The projector writes each into the read model, in the transaction of its batch; `DeadLetterSender` puts it into the
dead-letter topic. What is here is for the operator: list them, look at one, append one again. Sync.
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
    """No dead letter is at this position."""


class StillUndecodable(BadInput):
    """Today's codec does not understand the record either."""


class StoredLetter(Struct, frozen=True, kw_only=True):
    """A record that is no event, as it is in the read model."""

    partition: int
    record_offset: int
    broker_time: datetime
    reason: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | None]]
    """The record's own: name, base64 of the value."""
    sent: bool
    """Is in the dead-letter topic."""

    @property
    def position(self) -> Position:
        """Where it is in the log."""
        return Position(self.partition, self.record_offset)

    def original_headers(self) -> list[tuple[str, bytes | None]]:
        """The record's headers as they stand in the log."""
        return [(name, None if value is None else b64decode(value)) for name, value in self.headers]


def list_letters(connection: Connection[Any], *, after: Position | None = None, limit: int = 100) -> list[StoredLetter]:
    """Dead letters of the active generation in order of (partition, offset), after a position."""
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
    """Append the record once more, byte for byte, to the partition where it was; where it is now.

    The dead letter stays: it is a fact about its own offset. Retrying it twice is harmless, as is any event that comes
    twice. `producer` is one that `raw_producer.make` made. Raises `StillUndecodable`, `DeadLetterNotFound`,
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
    """TOPIC/PARTITION/OFFSET: the key of a dead letter in its topic."""
    return f"{topic}/{position.partition}/{position.offset}"
