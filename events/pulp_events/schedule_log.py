"""Appending to the topic of schedules, and reading it."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from confluent_kafka.admin import AclOperation

from pulp_events import admin
from pulp_events.errors import OffsetOutOfRange
from pulp_events.kafka import Servers
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader, Record
from pulp_events.schedule_codec import encode_schedule_event, schedule_key
from pulp_events.schedule_events import ScheduleEvent

PARTITION: Final = 0
"""The topic has one partition, so that all its events have one order."""
_SLICE_S: Final = 0.2
"""The longest that a thread waits for records: whoever closes the reader waits for it."""


class ScheduleLog(Protocol):
    """What appends the events of schedules."""

    async def append(self, event: ScheduleEvent) -> int:
        """Append the event durably, and return its offset.

        Raises `InvalidEvent`, `EventTooLarge`, `TopicNotFound` or `LogUnavailable` if nothing was written,
        `AppendOutcomeUnknown` if the event may have been.
        """
        ...


class KafkaScheduleLog:
    """A `ScheduleLog` that shares the producer of the log of tasks.

    It sends nothing before it has found the topic: a broker that creates topics by itself would create this one with
    its own retention.
    """

    def __init__(self, log: KafkaLog, servers: Servers, topic: str) -> None:
        self._log, self._servers, self._topic = log, servers, topic
        self._is_found = False

    async def append(self, event: ScheduleEvent) -> int:
        """See `ScheduleLog.append`."""
        value = encode_schedule_event(event)
        if not self._is_found:
            await asyncio.to_thread(admin.describe, self._servers, self._topic, rights=[AclOperation.WRITE])
            self._is_found = True
        position = await self._log.append_record(self._topic, schedule_key(event.schedule_id), value, PARTITION)
        return position.offset


class TopicRange(NamedTuple):
    """The topic of schedules: which one it is, and what it holds."""

    topic_id: str
    begin: int
    end: int


def look_at_topic(connection: admin.Connection, topic: str) -> TopicRange:
    """Raises `TopicNotFound`, `LogUnavailable`, `LogRefused`."""
    info = admin.describe(connection, topic)
    begin = admin.begin_offsets(connection, topic, info.partitions)[PARTITION]
    return TopicRange(info.topic_id, begin, admin.end_offsets(connection, topic, info.partitions)[PARTITION])


class ScheduleReader:
    """Reads the topic from an offset on. Raises the errors of `Reader`."""

    def __init__(self, servers: Servers, topic: str, start: int, found: TopicRange) -> None:
        """Raises `OffsetOutOfRange` if the topic does not hold the offset."""
        if not found.begin <= start <= found.end:
            raise OffsetOutOfRange.lost(topic, f"offset {start}, it holds {found.begin} to {found.end}")
        self._reader = Reader(servers, topic, {PARTITION: start})

    async def poll(self, timeout_s: float) -> Sequence[Record]:
        """The next records, as soon as there are some; none after the timeout.

        Once it is cancelled its thread goes on for a moment only: `close` waits for it.
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
