"""Appending to and reading a topic with one partition, whose events have a total order. Schedules and subscriptions
have one each.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from confluent_kafka.admin import AclOperation

from pulp_events import admin
from pulp_events.errors import OffsetOutOfRange
from pulp_events.kafka import Servers
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader, Record

E = TypeVar("E")
PARTITION: Final = 0
"""The only partition."""
_SLICE_S: Final = 0.2
"""The longest that a thread waits for records; closing the reader waits for it."""


class TopicRange(NamedTuple):
    """The topic, and what it contains."""

    topic_id: str
    begin: int
    end: int


def look_at_topic(connection: admin.Connection, topic: str) -> TopicRange:
    """Raises `TopicNotFound`, `LogUnavailable`, `LogRefused`."""
    info = admin.describe(connection, topic)
    begin = admin.begin_offsets(connection, topic, info.partitions)[PARTITION]
    return TopicRange(info.topic_id, begin, admin.end_offsets(connection, topic, info.partitions)[PARTITION])


class OrderedLog(Generic[E]):
    """Appends to the topic, and shares the producer of the log of tasks.

    It sends nothing before it has found the topic: a broker that creates missing topics would create this one with its
    default retention.
    """

    def __init__(
        self, log: KafkaLog, servers: Servers, topic: str, key: Callable[[E], bytes], encode: Callable[[E], bytes]
    ) -> None:
        self._log, self._servers, self._topic = log, servers, topic
        self._key, self._encode = key, encode
        self._is_found = False

    async def append(self, event: E) -> int:
        """Append the event durably, and return its offset.

        Raises `InvalidEvent`, `EventTooLarge`, `TopicNotFound` or `LogUnavailable` if nothing was written,
        `AppendOutcomeUnknown` if the event may have been.
        """
        value = self._encode(event)
        if not self._is_found:
            await asyncio.to_thread(admin.describe, self._servers, self._topic, rights=[AclOperation.WRITE])
            self._is_found = True
        return (await self._log.append_record(self._topic, self._key(event), value, PARTITION)).offset


class OrderedReader:
    """Reads the topic from an offset on. Raises the errors of `Reader`."""

    def __init__(self, servers: Servers, topic: str, start: int, found: TopicRange) -> None:
        """Raises `OffsetOutOfRange` if the topic does not hold the offset."""
        if not found.begin <= start <= found.end:
            raise OffsetOutOfRange.lost(topic, f"offset {start}, it holds {found.begin} to {found.end}")
        self._reader = Reader(servers, topic, {PARTITION: start})

    async def poll(self, timeout_s: float) -> Sequence[Record]:
        """The next records, as soon as there are some; none after the timeout.

        If it is cancelled, its thread goes on only for a moment: `close` waits for it.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while True:
            left_s = max(0.0, deadline_s - loop.time())
            found = (await asyncio.to_thread(self._reader.poll, min(left_s, _SLICE_S))).get(PARTITION, [])
            if found or left_s <= _SLICE_S:
                return found

    async def close(self) -> None:
        """Close the connection."""
        await asyncio.to_thread(self._reader.close)
