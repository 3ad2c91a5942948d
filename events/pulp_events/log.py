"""The Kafka log: appending events, and reading its end offsets."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AclOperation, OffsetSpec

from pulp_events import admin
from pulp_events.clock import ServerClock
from pulp_events.codec import HEADERS, MAX_EVENT_BYTES, encode, key_of
from pulp_events.errors import LogUnavailable
from pulp_events.events import Event
from pulp_events.kafka import Kafka, Servers, client_settings
from pulp_events.offsets import EndOffsets, Offsets
from pulp_events.outcome import not_accepted, not_delivered
from pulp_events.overdue import Overdue
from pulp_events.polling import Polling
from pulp_events.task import Position

_IN_FLIGHT: Final = 1
"""Appends made during a request are sent together in the next one, and a lone append is sent at once. A linger, of at
least a millisecond in librdkafka, would delay that one too."""
_REPORT_SLACK_S: Final = 3.0
"""How much later than the delivery timeout a report may come: librdkafka checks once a second."""
_REMEMBERED: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
}
"""Errors that librdkafka repeats for minutes, until it asks for the topic's metadata again."""

_logger = logging.getLogger("pulp.kafka")


class Log(Protocol):
    """The port of a process that appends events."""

    async def append(self, event: Event, partition: int) -> Position:
        """Append the event durably, and return its position. Always ends within the log's time limit.

        Raises `InvalidEvent`, `EventTooLarge` or `LogUnavailable` if nothing was written, `AppendOutcomeUnknown` if
        the event may have been.
        """
        ...

    async def end_offsets(self) -> dict[int, int]:
        """The offset of the next record of each partition, read after the call was made.

        Raises `LogUnavailable`.
        """
        ...


class TimedLog(Log, Protocol):
    """A `Log` that finds offsets by time."""

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        """The first offset of each partition with a broker time at or after this one; its end if there is none.

        Raises `LogUnavailable`.
        """
        ...


class RecordLog(Protocol):
    """Appends records to the topic of events again, unchanged."""

    topic: str

    async def append_again(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], partition: int
    ) -> Position:
        """Append the record durably, and return its position. Raises as `Log.append`."""
        ...


class KafkaLog:
    """A `TimedLog` and `RecordLog` on one topic, with an idempotent producer and acks=all.

    Each append waits for its delivery report. Create and `close` it in the event loop that uses it; creating it needs
    no broker. An append ends within `timeout_s` plus three seconds. If its caller is cancelled, the event may be
    written all the same.
    """

    def __init__(self, servers: Servers, topic: str, partitions: int, *, timeout_s: float = 10.0) -> None:
        self.topic = topic
        self.broker_clock = ServerClock()
        """How far the brokers' clock is off, measured by the timestamps of events."""
        self._kafka = Kafka.of(servers)
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._fatal = False
        self._overdue = Overdue(self._loop, timeout_s + _REPORT_SLACK_S)
        self._reports: deque[tuple[asyncio.Future[Position], KafkaError | None, Message]] = deque()
        self._is_resolving = False
        self._producer = self._make_producer()
        self._retired: set[asyncio.Task[None]] = set()
        self._places = [TopicPartition(topic, number) for number in range(partitions)]
        self._reader: _Reader | None = None
        self._is_closing = False
        self._polling = Polling(self._poll, lambda: len(self._producer))
        self._polling.start()

    async def start(self) -> None:
        """Connect for appending and reading offsets, which would delay the first of each by half a second.

        Raises `LogUnavailable` if Kafka is away, `LogRefused` if this login may not write to the topic.
        """
        connection = self._reading().connection
        await asyncio.to_thread(admin.describe, connection, self.topic, rights=[AclOperation.WRITE])
        await self.start_appending()
        await self.end_offsets()

    async def start_appending(self) -> None:
        """Fetch the producer id and the partition leaders. For a process that reads no offsets, which need another
        client, and that knows that it may write.

        Raises `LogUnavailable` if Kafka is away.
        """
        await self._ask_for(self.topic)

    async def _ask_for(self, topic: str) -> None:
        try:
            await asyncio.to_thread(self._producer.list_topics, topic, self._timeout_s)
        except KafkaException as error:
            raise LogUnavailable(f"Kafka at {self._kafka} does not answer: {error.args[0].str()}") from error

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        return await self.append_record(self.topic, key_of(event.task_id), encode(event), partition)

    async def append_again(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], partition: int
    ) -> Position:
        """See `RecordLog.append_again`."""
        return await self.append_record(self.topic, key, value, partition, headers)

    async def append_record(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        headers: Sequence[tuple[str, str | bytes | None]] = HEADERS,
    ) -> Position:
        """Append a record to an existing topic: a broker might create one that keeps nothing. See `append`."""
        if self._is_closing:
            raise LogUnavailable("the log is closed")
        if self._fatal:
            self._renew_producer()
        delivered: asyncio.Future[Position] = self._loop.create_future()
        asked_s = time.time()

        def report(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._note(error)
            else:
                kind, stamped_ms = message.timestamp()
                if kind == TIMESTAMP_LOG_APPEND_TIME:
                    self.broker_clock.note(asked_s, stamped_ms / 1000, time.time())
            self._reports.append((delivered, error, message))
            if not self._is_resolving:  # one wake-up of the loop handles all reports that have arrived
                self._is_resolving = True
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(self._resolve_all)

        for is_last in (False, True):
            try:
                self._producer.produce(
                    topic, key=key, value=value, partition=partition, headers=list(headers), on_delivery=report
                )
                break
            except BufferError as error:
                raise not_accepted(error, len(value or b""), MAX_EVENT_BYTES) from error
            except KafkaException as error:
                self._note(error.args[0])
                if is_last or error.args[0].code() not in _REMEMBERED:
                    raise not_accepted(error.args[0], len(value or b""), MAX_EVENT_BYTES) from error
                await self._ask_for(topic)
        self._polling.wake()
        self._overdue.watch(delivered)
        return await delivered

    def append_from_thread(self, event: Event, partition: int, timeout_s: float) -> bool:
        """Append from another thread while the event loop is blocked; whether Kafka confirmed it in time.

        Raises `InvalidEvent` or `EventTooLarge`.
        """
        reported = threading.Event()
        errors: list[KafkaError | None] = []

        def report(error: KafkaError | None, _: Message) -> None:
            errors.append(error)
            reported.set()

        value = encode(event)
        try:
            self._producer.produce(
                self.topic,
                key=key_of(event.task_id),
                value=value,
                partition=partition,
                headers=HEADERS,
                on_delivery=report,
            )
        except (BufferError, KafkaException):
            return False
        self._polling.wake()
        return reported.wait(timeout_s) and errors == [None]

    async def end_offsets(self) -> dict[int, int]:
        """See `Log.end_offsets`."""
        return await self._reading().ends.read()

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        """See `TimedLog.offsets_since`."""
        ends = await self.end_offsets()  # read first, so that no later record is missed
        found = await self._reading().offsets.ask(OffsetSpec.for_timestamp(timestamp_ms))
        return {partition: offset if offset >= 0 else ends[partition] for partition, offset in found.items()}

    async def close(self) -> None:
        """Accept no more appends, and wait for those in flight, at most for the time limit of an append."""
        self._is_closing = True
        await asyncio.to_thread(_flush, self._producer, self._timeout_s + 1)
        await asyncio.to_thread(self._polling.close)
        await asyncio.gather(*self._retired)

    def _reading(self) -> "_Reader":
        if self._reader is None:
            connection = admin.connect(self._kafka)
            offsets = Offsets(connection.client, self._places, self._timeout_s)
            self._reader = _Reader(connection, offsets, EndOffsets(offsets))
        return self._reader

    def _resolve_all(self) -> None:
        self._is_resolving = False  # cleared first, so that a later report wakes the loop again
        while self._reports:
            _resolve(*self._reports.popleft())

    def _renew_producer(self) -> None:
        """Replace an idempotent producer that lost its sequence: it can never write again."""
        retired = asyncio.create_task(asyncio.to_thread(_flush, self._producer, self._timeout_s + 1))
        self._retired.add(retired)  # its events still get their reports, all of them errors
        retired.add_done_callback(self._retired.discard)
        self._fatal, self._producer = False, self._make_producer()
        _logger.warning("the Kafka producer was replaced after a fatal error", extra={"topic": self.topic})

    def _make_producer(self) -> Producer:
        return Producer(
            client_settings(
                self._kafka,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=0,
                max_in_flight_requests_per_connection=_IN_FLIGHT,
                delivery_timeout_ms=int(self._timeout_s * 1000),
                queue_buffering_max_messages=100_000,
                queue_buffering_max_kbytes=128 * 1024,
                message_max_bytes=MAX_EVENT_BYTES + 48_576,
                error_cb=self._note,
            )
        )

    def _note(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal = True

    def _poll(self, timeout_s: float) -> None:
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:  # fatal errors are raised here instead of passed to `error_cb`
            self._note(error.args[0])
            time.sleep(timeout_s)  # until an append replaces the producer
        if self._reader is not None:
            self._reader.connection.client.poll(0)  # otherwise its log lines pile up


class _Reader(NamedTuple):
    """The client that reads offsets."""

    connection: admin.Connection
    offsets: Offsets
    ends: EndOffsets


def _flush(producer: Producer, limit_s: float) -> None:
    """Wait for the reports of all events in flight, also if the producer has a fatal error."""
    ends_s = time.monotonic() + limit_s
    while (left_s := ends_s - time.monotonic()) > 0:
        try:
            if not producer.flush(left_s):
                return
        except KafkaException:
            continue


def _resolve(delivered: "asyncio.Future[Position]", error: KafkaError | None, message: Message) -> None:
    if delivered.done():
        return  # the caller was cancelled, but the event is in the log
    if error is None:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        delivered.set_result(Position(partition, offset))
    else:
        delivered.set_exception(not_delivered(error, len(message.value() or b""), MAX_EVENT_BYTES))
