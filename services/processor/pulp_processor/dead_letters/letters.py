"""The operator's commands on dead letters: list, show, retry, discard. Synchronous.

The projector writes each dead letter into the read model in its batch's transaction, and `DeadLetterPublisher`
publishes it to the dead-letter topic. One that belongs to a task parks it: later records of the task wait among the
dead letters too. `pulp_projections.dead_letters` decides what is allowed.
"""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from confluent_kafka import Producer
from psycopg import Connection
from psycopg.rows import class_row
from pulp_events import codec
from pulp_events.codec import encode, key_of
from pulp_events.events import Unparking
from pulp_events.ids import new_id
from pulp_events.task import Position
from pulp_events.topics import Topics
from pulp_projections import dead_letters
from pulp_projections.dead_letters import STATEMENTS, DeadLetterNotFound, StoredLetter, act_on, headers_again
from pulp_projections.writing.parking import Standing

from pulp_processor.dead_letters.raw_producer import RawRecord, append

_HEADERS: Final = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in codec.HEADERS)


def list_letters(
    connection: Connection[Any], *, after: Position | None = None, limit: int = 100, task_id: UUID | None = None
) -> list[StoredLetter]:
    """At most `limit` dead letters of the active generation, ordered by (partition, offset), after a position.

    Records that wait are among them only if those of one task are asked for.
    """
    partition, offset = after or (-1, -1)
    values = {"partition": partition, "offset": offset, "limit": limit, "task_id": task_id}
    with connection.cursor(row_factory=class_row(StoredLetter)) as cursor:
        cursor.execute(STATEMENTS["list"], values)
        return cursor.fetchall()


def show_letter(connection: Connection[Any], position: Position) -> StoredLetter:
    """One dead letter; raises `DeadLetterNotFound`."""
    with connection.cursor(row_factory=class_row(StoredLetter)) as cursor:
        cursor.execute(STATEMENTS["one"], {"partition": position.partition, "offset": position.offset})
        letter = cursor.fetchone()
    if letter is None:
        raise DeadLetterNotFound(position)
    return letter


def check_retry(connection: Connection[Any], position: Position) -> StoredLetter:
    """The dead letter, if `retry_letter` may do something for it. Raises what that raises, except about the log."""
    letter = show_letter(connection, position)
    dead_letters.check_retry(letter)
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
    """Project the record, and return the position of the record appended for that.

    If it parks its task, that is an `unparked` event: then it and those behind it are projected where they are. Any
    other one is appended again, byte for byte, to its partition; the dead letter stays, as a fact about its own offset.
    Retrying it twice is harmless. `producer` comes from `raw_producer.make`. Raises `StillUndecodable`,
    `DeadLetterNotFound`, `NotParked` for one that waits, `LogUnavailable` (nothing was appended),
    `AppendOutcomeUnknown`.
    """
    letter = check_retry(connection, position)
    if letter.standing == Standing.PARKS:
        return _unpark(producer, topics, letter, Unparking.RETRY, actor, reason)
    record = RawRecord(letter.key, letter.value, headers_again(letter, topics.events), position.partition)
    (appended,) = append(producer, topics.events, [record])
    return appended


def check_discard(connection: Connection[Any], position: Position) -> StoredLetter:
    """The dead letter, if it can be discarded: it parks its task. Raises `DeadLetterNotFound`, `NotParked`."""
    letter = show_letter(connection, position)
    dead_letters.check_discard(letter)
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
    """Let its task go on without the record, and return the position of the `unparked` event that says so.

    Raises what `check_discard` raises, `LogUnavailable` (nothing was appended), `AppendOutcomeUnknown`.
    """
    letter = check_discard(connection, position)
    return _unpark(producer, topics, letter, Unparking.DISCARD, actor, reason)


def _unpark(
    producer: Producer, topics: Topics, letter: StoredLetter, action: Unparking, actor: str, reason: str | None
) -> Position:
    event = act_on(letter, action, event_id=new_id(), now=datetime.now(UTC), actor=actor, reason=reason)
    record = RawRecord(key_of(event.task_id), encode(event), _HEADERS, letter.partition)
    (appended,) = append(producer, topics.events, [record])
    return appended
