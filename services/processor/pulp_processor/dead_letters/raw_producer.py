"""A producer of unchanged bytes, for dead letters and for records that an operator retries. Synchronous.

Events are appended by `pulp_events.log` instead.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from pulp_events.errors import AppendOutcomeUnknown, PulpError
from pulp_events.kafka import Servers, client_settings
from pulp_events.outcome import not_accepted, not_delivered
from pulp_events.task import Position

MAX_RECORD_BYTES: Final = 1_048_588
_TIMEOUT_S: Final = 10.0


class RawRecord(NamedTuple):
    """A record to append; partition -1 lets the client choose."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    partition: int


def make(servers: Servers) -> Producer:
    """An idempotent producer whose appends wait for all in-sync replicas."""
    return Producer(
        client_settings(
            servers,
            enable_idempotence=True,
            acks="all",
            compression_type="lz4",
            delivery_timeout_ms=int(_TIMEOUT_S * 1000),
            message_max_bytes=MAX_RECORD_BYTES,
        )
    )


def append(producer: Producer, topic: str, records: Sequence[RawRecord]) -> list[Position]:
    """Append the records and return their positions, in order.

    Raises the error of the first record that failed: `EventTooLarge` or `LogUnavailable` (it was not written), or
    `AppendOutcomeUnknown` (it may have been). The other records may have been written in any case.
    """
    outcomes = [_Outcome() for _ in records]
    for record, outcome in zip(records, outcomes, strict=True):
        try:
            producer.produce(
                topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                partition=record.partition,
                on_delivery=outcome.report,
            )
        except KafkaException as error:
            outcome.error = not_accepted(error.args[0], len(record.value or b""), MAX_RECORD_BYTES)
        except BufferError as error:
            outcome.error = not_accepted(error, len(record.value or b""), MAX_RECORD_BYTES)
    producer.flush(_TIMEOUT_S + 1)
    return [outcome.result() for outcome in outcomes]


class _Outcome:
    """The result of appending one record."""

    def __init__(self) -> None:
        self.error: PulpError = AppendOutcomeUnknown("Kafka did not answer in time")
        self._position: Position | None = None

    def report(self, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        if error is not None:
            self.error = not_delivered(error, len(message.value() or b""), MAX_RECORD_BYTES)
        elif partition is not None and offset is not None:
            self._position = Position(partition, offset)

    def result(self) -> Position:
        if self._position is None:
            raise self.error
        return self._position
