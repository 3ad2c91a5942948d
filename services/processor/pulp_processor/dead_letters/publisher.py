"""Publishes dead letters to their topic, at least once, and marks them as sent."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Never

from confluent_kafka import Producer
from psycopg import AsyncConnection
from psycopg.rows import class_row
from pulp_events.errors import EventTooLarge, LogError
from pulp_events.kafka import Servers
from pulp_events.topics import Topics
from pulp_projections.away import ANY, keep_trying, reason_of
from pulp_projections.connection import connect
from pulp_projections.dead_letters import StoredLetter, coordinates
from pulp_projections.sql import load

from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

_SQL: Final = load("pulp_processor.dead_letters", "dead_letters.sql")
_PERIOD_S: Final = 1.0
_PAUSE_S: Final = 5.0
_AT_ONCE: Final = 100
_KEPT_HEADER_BYTES: Final = 64 * 1024
_log = logging.getLogger("pulp.dead-letters")


class DeadLetterPublisher:
    """Publishes the active generation's dead letters of the partitions that this processor owns.

    A published record has the coordinates (TOPIC/PARTITION/OFFSET) as its key, the original value, and headers with the
    reason and the original key and headers.
    """

    def __init__(self, servers: Servers, topics: Topics, conninfo: str, owned: Callable[[], set[int]]) -> None:
        self._servers = servers
        self._topics = topics
        self._conninfo = conninfo
        self._owned = owned
        self._producer: Producer | None = None

    async def run(self) -> Never:
        """Publish forever; waits while Kafka or Postgres is away."""
        await keep_trying(self._connect_and_publish, self._fail, on=(*ANY, LogError), pauses_s=(_PAUSE_S,))

    async def _connect_and_publish(self) -> Never:
        async with await connect(self._conninfo, "pulp-dead-letters") as connection:
            while True:
                await self.publish(connection)
                await asyncio.sleep(_PERIOD_S)

    def _fail(self, error: Exception, _: float) -> None:
        self._producer = None  # after a fatal error a producer can never write again
        _log.warning("cannot publish dead letters, trying again: %s", reason_of(error))

    async def publish(self, connection: AsyncConnection) -> int:
        """Do one round and return how many were published. A crash before they are marked publishes them again."""
        async with connection.cursor(row_factory=class_row(StoredLetter)) as cursor:
            await cursor.execute(_SQL["unsent"], {"partitions": list(self._owned()), "limit": _AT_ONCE})
            letters = await cursor.fetchall()
        if letters:
            await asyncio.to_thread(self._append, letters)
            marks: dict[str, Any] = {
                "partitions": [letter.partition for letter in letters],
                "offsets": [letter.record_offset for letter in letters],
            }
            await connection.execute(_SQL["mark_sent"], marks)
            _log.warning("published undecodable records to %s", self._topics.dead_letters, extra={"sent": len(letters)})
        return len(letters)

    def _append(self, letters: Sequence[StoredLetter]) -> None:
        if self._producer is None:
            self._producer = raw_producer.make(self._servers)
        records = [_record(letter, self._topics.events) for letter in letters]
        try:
            raw_producer.append(self._producer, self._topics.dead_letters, records)
        except EventTooLarge:
            # The added headers can make the largest records too large. The whole record is in the events topic anyway.
            for record in records:
                self._append_shortened(record)

    def _append_shortened(self, record: RawRecord) -> None:
        assert self._producer is not None
        try:
            raw_producer.append(self._producer, self._topics.dead_letters, [record])
        except EventTooLarge:
            raw_producer.append(self._producer, self._topics.dead_letters, [_shortened(record)])


def _record(letter: StoredLetter, topic: str) -> RawRecord:
    headers = (
        ("reason", letter.reason.encode()),
        ("broker-time", letter.broker_time.isoformat().encode()),
        ("original-key", letter.key),
        *((f"original-{name}", value) for name, value in letter.original_headers()),
    )
    return RawRecord(coordinates(topic, letter.position).encode(), letter.value, headers, -1)


def _shortened(record: RawRecord) -> RawRecord:
    """The record without its value, and with only the headers that fit; reason and time come first."""
    room = _KEPT_HEADER_BYTES
    kept = []
    for name, value in record.headers:
        size = len(name.encode()) + len(value or b"")
        if size <= room:
            room -= size
            kept.append((name, value))
    left = len(record.headers) - len(kept)
    note = f"{len(record.value or b'')} bytes and {left} headers, which are at these coordinates"
    return RawRecord(record.key, None, (*kept, ("left-out", note.encode())), record.partition)
