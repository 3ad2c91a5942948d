"""The Kafka log. The only module of this package with IO."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pulp_events.codec import HEADERS, encode, key_of
from pulp_events.errors import AppendOutcomeUnknown, LogUnavailable
from pulp_events.events import Event
from pulp_events.task import Position

_OUTCOME_UNKNOWN: Final = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}


class Log(Protocol):
    """What a process needs that appends events."""

    async def append(self, event: Event, partition: int) -> Position:
        """Append the event durably; its position.

        Raises `InvalidEvent` or `EventTooLarge` (nothing written), `LogUnavailable` (nothing written),
        `AppendOutcomeUnknown` (perhaps written). Always ends within the log's time limit.
        """
        ...


class KafkaLog:
    """A `Log` on one topic: idempotent producer, acks=all; each append waits for its delivery report.

    Make it inside the running event loop of the process that uses it; close it there.
    """

    def __init__(self, bootstrap: str, topic: str, *, timeout_s: float = 10.0) -> None:
        self.topic = topic
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 0,
                "delivery.timeout.ms": int(timeout_s * 1000),
                "queue.buffering.max.messages": 100_000,
            }
        )
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-delivery-reports", daemon=True)
        self._poller.start()

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
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
            raise LogUnavailable(f"the event could not be sent: {error}") from error
        return await delivered

    async def close(self) -> None:
        """Wait for what is under way, within the time limit of an append."""
        await asyncio.to_thread(self._producer.flush)
        self._closing.set()
        await asyncio.to_thread(self._poller.join)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.1)


def _resolve(delivered: "asyncio.Future[Position]", error: KafkaError | None, message: Message) -> None:
    if delivered.done():
        return  # the caller was cancelled; the event stands in the log all the same
    if error is None:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        delivered.set_result(Position(partition, offset))
    elif error.code() in _OUTCOME_UNKNOWN:
        delivered.set_exception(AppendOutcomeUnknown(f"Kafka did not answer in time: {error.str()}"))
    else:
        delivered.set_exception(LogUnavailable(f"Kafka refused the event: {error.str()}"))


def topic_settings() -> Mapping[str, str]:
    """What the events topic is made with: kept for ever, the broker's times."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": "1048588",
    }
