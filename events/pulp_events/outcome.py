"""Whether an append that Kafka did not confirm was written."""

from typing import Final

from confluent_kafka import KafkaError

from pulp_events.errors import AppendOutcomeUnknown, EventTooLarge, LogUnavailable, PulpError

_NEVER_SENT: Final = frozenset({KafkaError._QUEUE_FULL, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
"""The client raises these before it sends anything. Any other error may follow a write: librdkafka retries an attempt
without an answer, and the last attempt's error says nothing about the earlier ones.
"""


def not_accepted(error: KafkaError | BufferError, size_bytes: int, limit_bytes: int) -> PulpError:
    """The exception of the client's `produce` as one of our errors: nothing was sent."""
    if isinstance(error, BufferError):
        return LogUnavailable("the queue of unsent records is full: try again later")
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return EventTooLarge(size_bytes, limit_bytes)
    return LogUnavailable(f"the record could not be sent: {error.str()}")


def not_delivered(error: KafkaError, size_bytes: int, limit_bytes: int) -> PulpError:
    """A delivery report's error as one of ours.

    `EventTooLarge` and `LogUnavailable` mean that nothing was written, `AppendOutcomeUnknown` that it may have been.
    """
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return EventTooLarge(size_bytes, limit_bytes)
    if error.code() in _NEVER_SENT:
        return LogUnavailable(f"Kafka did not take the record: {error.str()}")
    return AppendOutcomeUnknown(f"Kafka did not confirm the record: {error.str()}")
