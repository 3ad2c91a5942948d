"""The Kafka log: appending events, and asking how far it goes."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from typing import Final, Protocol

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AclOperation, OffsetSpec

from pulp_events import admin
from pulp_events.clock import BrokerClock
from pulp_events.codec import HEADERS, MAX_EVENT_BYTES, encode, key_of
from pulp_events.errors import AppendOutcomeUnknown, LogUnavailable
from pulp_events.events import Event
from pulp_events.kafka import Kafka, Servers, client_settings
from pulp_events.offsets import EndOffsets, Offsets
from pulp_events.outcome import not_accepted, not_delivered
from pulp_events.task import Position

_IN_FLIGHT: Final = 1
"""What is appended while a request is under way goes in the next one, all together; what comes alone waits for nothing.
With a linger, which librdkafka makes a millisecond at least, that would wait as well."""
_REPORT_SLACK_S: Final = 3.0
"""A delivery report may come so much later than the time limit of the delivery: librdkafka looks once a second."""

_logger = logging.getLogger("pulp.kafka")


class Log(Protocol):
    """What a process needs that appends events."""

    async def append(self, event: Event, partition: int) -> Position:
        """Append the event durably; its position.

        Raises `InvalidEvent` or `EventTooLarge` (nothing written), `LogUnavailable` (nothing written),
        `AppendOutcomeUnknown` (perhaps written). Always ends within the log's time limit.
        """
        ...

    async def end_offsets(self) -> dict[int, int]:
        """The offset that the next record will get, of each partition, read after the call came.

        Raises `LogUnavailable`.
        """
        ...


class TimedLog(Log, Protocol):
    """A `Log` that can be entered at a time."""

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        """The first offset whose broker time is not before, of each partition; its end where there is none.

        Raises `LogUnavailable`.
        """
        ...


class KafkaLog:
    """A `TimedLog` on one topic: idempotent producer, acks=all; each append waits for its delivery report.

    Make it inside the running event loop of the process that uses it; `close` it there. Making it needs no broker.
    An append ends within `timeout_s` and three seconds; one whose caller was cancelled may be written all the same.
    """

    def __init__(self, servers: Servers, topic: str, partitions: int, *, timeout_s: float = 10.0) -> None:
        self.topic = topic
        self.broker_clock = BrokerClock()
        """How far the brokers' clock is off, by the times that events were given."""
        self._kafka = Kafka.of(servers)
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._fatal = False
        self._overdue = _Overdue(self._loop, timeout_s + _REPORT_SLACK_S)
        self._reports: deque[tuple[asyncio.Future[Position], KafkaError | None, Message]] = deque()
        self._is_resolving = False
        self._producer = self._make_producer()
        self._retired: set[asyncio.Task[None]] = set()
        self._connection = admin.connect(servers)
        self._admin = self._connection.client
        places = [TopicPartition(topic, number) for number in range(partitions)]
        self._offsets = Offsets(self._admin, places, timeout_s)
        self._ends = EndOffsets(self._offsets)
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-delivery-reports", daemon=True)
        self._poller.start()

    async def start(self) -> None:
        """Get the producer's id and the topic's leaders now: the first append would wait half a second for them.

        Raises `LogUnavailable` if Kafka is away, `LogRefused` if it does not let this login write to the topic.
        """
        await asyncio.to_thread(admin.check_rights, self._connection, self.topic, AclOperation.WRITE)
        try:
            await asyncio.to_thread(self._producer.list_topics, self.topic, self._timeout_s)
        except KafkaException as error:
            raise LogUnavailable(f"Kafka at {self._kafka} does not answer: {error.args[0].str()}") from error
        await self.end_offsets()

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        if self._closing.is_set():
            raise LogUnavailable("the log is closed")
        if self._fatal:
            self._renew_producer()
        value = encode(event)
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
            if not self._is_resolving:  # one wake-up of the loop serves all reports that have come by then
                self._is_resolving = True
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(self._resolve_all)

        try:
            self._producer.produce(
                self.topic,
                key=key_of(event.task_id),
                value=value,
                partition=partition,
                headers=HEADERS,
                on_delivery=report,
            )
        except BufferError as error:
            raise not_accepted(error, len(value), MAX_EVENT_BYTES) from error
        except KafkaException as error:
            self._note(error.args[0])
            raise not_accepted(error.args[0], len(value), MAX_EVENT_BYTES) from error
        self._overdue.watch(delivered)
        return await delivered

    def append_from_thread(self, event: Event, partition: int, timeout_s: float) -> bool:
        """Append while the event loop does not turn; from another thread. Whether it is in the log within the time.

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
        return reported.wait(timeout_s) and errors == [None]

    async def end_offsets(self) -> dict[int, int]:
        """See `Log.end_offsets`."""
        return await self._ends.read()

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        """See `TimedLog.offsets_since`."""
        ends = await self.end_offsets()  # first: what comes meanwhile is not left out
        found = await self._offsets.ask(OffsetSpec.for_timestamp(timestamp_ms))
        return {partition: offset if offset >= 0 else ends[partition] for partition, offset in found.items()}

    async def close(self) -> None:
        """Wait for what is under way, within the time limit of an append; nothing can be appended any more."""
        self._closing.set()
        await asyncio.to_thread(_flush, self._producer, self._timeout_s + 1)
        await asyncio.to_thread(self._poller.join)
        await asyncio.gather(*self._retired)

    def _resolve_all(self) -> None:
        self._is_resolving = False  # first: a report that comes from now on wakes the loop again
        while self._reports:
            _resolve(*self._reports.popleft())

    def _renew_producer(self) -> None:
        """An idempotent producer that lost its sequence can never write again; a new one can."""
        retired = asyncio.create_task(asyncio.to_thread(_flush, self._producer, self._timeout_s + 1))
        self._retired.add(retired)  # its own events get their reports, all of them errors
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

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(0.1)
            except KafkaException as error:  # a fatal error is raised here, in place of a call of `error_cb`
                self._note(error.args[0])
                self._closing.wait(0.1)  # until an append makes another producer
            self._admin.poll(0)  # else the lines that it logs pile up


def _flush(producer: Producer, limit_s: float) -> None:
    """Wait for the reports of what is under way, those of a producer with a fatal error as well."""
    ends_s = time.monotonic() + limit_s
    while (left_s := ends_s - time.monotonic()) > 0:
        try:
            if not producer.flush(left_s):
                return
        except KafkaException:
            continue


class _Overdue:
    """Ends appends whose delivery report does not come. One timer for all: nearly every report comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_s: float) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._waiting: deque[tuple[float, asyncio.Future[Position]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, delivered: "asyncio.Future[Position]") -> None:
        """End the append after the limit."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        self._waiting.append((self._loop.time() + self._limit_s, delivered))
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s, self._look)

    def _look(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._loop.time()):
            _, delivered = self._waiting.popleft()
            if not delivered.done():
                delivered.set_exception(
                    AppendOutcomeUnknown("Kafka did not confirm the event in time: no delivery report")
                )
        self._timer = self._loop.call_at(self._waiting[0][0], self._look) if self._waiting else None


def _resolve(delivered: "asyncio.Future[Position]", error: KafkaError | None, message: Message) -> None:
    if delivered.done():
        return  # the caller was cancelled; the event stands in the log all the same
    if error is None:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        delivered.set_result(Position(partition, offset))
    else:
        delivered.set_exception(not_delivered(error, len(message.value() or b""), MAX_EVENT_BYTES))
