"""The Kafka log: appending events, and asking how far it goes."""

import asyncio
import threading
from typing import Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pulp_events.codec import HEADERS, MAX_EVENT_BYTES, encode, key_of
from pulp_events.errors import AppendOutcomeUnknown, EventTooLarge, LogUnavailable
from pulp_events.events import Event
from pulp_events.kafka import client_settings
from pulp_events.task import Position

# Everything else may have been written: a timeout, a broken connection, a replica that did not confirm.
_SURELY_NOT_WRITTEN: Final = {
    KafkaError._QUEUE_FULL,
    KafkaError._PURGE_QUEUE,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.NOT_ENOUGH_REPLICAS,
}
# The admin client asks a broker that it knows as leader, and does not ask again.
_NO_LEADER_NOW: Final = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_RETRY_S: Final = 0.05


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


class KafkaLog:
    """A `Log` on one topic: idempotent producer, acks=all; each append waits for its delivery report.

    Make it inside the running event loop of the process that uses it; `close` it there.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int, *, timeout_s: float = 10.0) -> None:
        self.topic = topic
        self._bootstrap = bootstrap
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._producer = self._make_producer()
        self._fatal = False
        self._ends = _EndOffsets(AdminClient(client_settings(bootstrap)), topic, partitions, timeout_s)
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-delivery-reports", daemon=True)
        self._poller.start()

    async def start(self) -> None:
        """Get the producer's id and the topic's leaders now: the first append would wait half a second for them."""
        await asyncio.to_thread(self._producer.list_topics, self.topic, self._timeout_s)
        await self.end_offsets()

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        if self._fatal:
            # An idempotent producer that lost its sequence can never write again; a new one can.
            self._fatal, self._producer = False, self._make_producer()
        delivered: asyncio.Future[Position] = self._loop.create_future()

        def report(error: KafkaError | None, message: Message) -> None:
            self._loop.call_soon_threadsafe(_resolve, delivered, error, message)

        try:
            self._producer.produce(
                self.topic,
                key=key_of(event.task_id),
                value=encode(event),
                partition=partition,
                headers=HEADERS,
                on_delivery=report,
            )
        except BufferError as error:
            raise LogUnavailable("the queue of unsent events is full: try again later") from error
        except KafkaException as error:
            self._note(error.args[0])
            raise LogUnavailable(f"the event could not be sent: {error}") from error
        return await delivered

    async def end_offsets(self) -> dict[int, int]:
        """See `Log.end_offsets`."""
        return await self._ends.read()

    async def close(self) -> None:
        """Wait for what is under way, within the time limit of an append."""
        await asyncio.to_thread(self._producer.flush, self._timeout_s + 1)
        self._closing.set()
        await asyncio.to_thread(self._poller.join)

    def _make_producer(self) -> Producer:
        return Producer(
            client_settings(
                self._bootstrap,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=0,
                delivery_timeout_ms=int(self._timeout_s * 1000),
                queue_buffering_max_messages=100_000,
                message_max_bytes=MAX_EVENT_BYTES + 48_576,
                error_cb=self._note,
            )
        )

    def _note(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = True

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.1)


class _EndOffsets:
    """Reads of the end offsets, shared by callers that wait at the same time.

    A caller never gets an answer that was asked for before it came: it waits for the one under way and takes the next.
    """

    def __init__(self, admin: AdminClient, topic: str, partitions: int, timeout_s: float) -> None:
        self._admin = admin
        self._wanted = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(partitions)}
        self._timeout_s = timeout_s
        self._running: asyncio.Task[dict[int, int]] | None = None
        self._queued: asyncio.Task[dict[int, int]] | None = None

    async def read(self) -> dict[int, int]:
        if self._queued is None:
            self._queued = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._queued)

    async def _after(self, running: "asyncio.Task[dict[int, int]] | None") -> dict[int, int]:
        if running is not None:
            await asyncio.wait([running])
        self._running, self._queued = self._queued, None
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    if (found := await self._ask()) is not None:
                        return found
                    await asyncio.sleep(_RETRY_S)
        except (KafkaException, TimeoutError) as error:
            raise LogUnavailable(f"Kafka does not tell how far the log goes: {error!r}") from error

    async def _ask(self) -> dict[int, int] | None:
        """None while a partition has no leader that answers, as just after its creation or a broker's fall."""
        futures = self._admin.list_offsets(self._wanted, request_timeout=self._timeout_s)
        answers = await asyncio.gather(*map(asyncio.wrap_future, futures.values()), return_exceptions=True)
        found = {}
        for where, answer in zip(futures, answers, strict=True):
            if isinstance(answer, KafkaException) and answer.args[0].code() in _NO_LEADER_NOW:
                return None
            if isinstance(answer, BaseException):
                raise answer
            found[where.partition] = answer.offset
        return found


def _resolve(delivered: "asyncio.Future[Position]", error: KafkaError | None, message: Message) -> None:
    if delivered.done():
        return  # the caller was cancelled; the event stands in the log all the same
    if error is None:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        delivered.set_result(Position(partition, offset))
    elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        delivered.set_exception(EventTooLarge(len(message.value() or b""), MAX_EVENT_BYTES))
    elif error.code() in _SURELY_NOT_WRITTEN:
        delivered.set_exception(LogUnavailable(f"Kafka did not take the event: {error.str()}"))
    else:
        delivered.set_exception(AppendOutcomeUnknown(f"Kafka did not confirm the event in time: {error.str()}"))
