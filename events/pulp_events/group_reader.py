"""Reading the events topic in a consumer group: its members share the partitions, and Kafka keeps the offsets."""

import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from pulp_events.errors import LogError, LogUnavailable, TopicMismatch
from pulp_events.kafka import Kafka, client_settings
from pulp_events.reader import Headers, Record, fault_of, record_of
from pulp_events.refusals import refusal

_PAGE: Final = 100
"""The most records that wait for the caller. It is small, because these come again after a crash and delay a rebalance.
"""
_COMMIT_S: Final = 1.0
_PATIENCE_MS: Final = 900_000
"""How long the caller may take for a page before its partitions go to another member."""
_ANSWER_S: Final = 10.0
_REBALANCING: Final = frozenset(
    (KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID)
)
"""A commit is refused by these while members come and go; it is tried again after the rebalance."""
_REBALANCE_S: Final = 30.0
"""How long a commit waits for the end of a rebalance: as long as the consumer of Kafka waits when it is closed."""

_log: Final = logging.getLogger("pulp.kafka")


class GroupReader:
    """A member of a consumer group. Every record goes to one member of the group, at least once.

    What was passed to `done` is committed once a second, before partitions go to another member, and by `close`. For
    one thread at a time. The topic's id is stored with each offset: a topic that was deleted and created again is
    refused.
    """

    def __init__(
        self,
        kafka: Kafka,
        topic: str,
        topic_id: str,
        group: str,
        start: Callable[[], Mapping[int, int]],
        dropped: Callable[[Collection[int]], None],
    ) -> None:
        """`start` returns where a new group begins. `dropped` is called with partitions that go to another member:
        their waiting records must not be returned any more.
        """
        self._kafka, self._topic, self._topic_id = kafka, topic, topic_id
        self._start, self._dropped = start, dropped
        self._next: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._waiting: deque[Message] = deque()
        self._committed_at_s = time.monotonic()
        self._fault: LogError | None = None
        self._headers: Headers = ()
        self._consumer = Consumer(
            client_settings(
                kafka,
                group_id=group,
                partition_assignment_strategy="cooperative-sticky",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                auto_offset_reset="error",
                isolation_level="read_committed",
                fetch_wait_max_ms=100,
                queued_max_messages_kbytes=1024,  # per partition
                fetch_message_max_bytes=131_072,  # compressed; a larger record still arrives
                fetch_queue_backoff_ms=10,
                max_poll_interval_ms=_PATIENCE_MS,
                on_commit=self._answered,
                check_crcs=True,
            )
        )
        self._consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each partition that this member has now."""
        return dict(self._next)

    def poll(self, timeout_s: float, *, most: int = _PAGE) -> dict[int, list[Record]]:
        """The records that have arrived, in order for each partition; {} after the timeout.

        Waits for brokers that are away. Raises `OffsetOutOfRange`, `TopicMismatch`, and `LogUnavailable` for a lasting
        fault.
        """
        if time.monotonic() - self._committed_at_s > _COMMIT_S:
            self._commit_soon()
        batches: defaultdict[int, list[Record]] = defaultdict(list)
        first = self._waiting.popleft() if self._waiting else self._consumer.poll(timeout_s)
        messages = [] if first is None else [first, *self._more(min(most, _PAGE) - 1)]
        for message in messages:
            error = message.error()
            if error is not None:
                self._fault = self._fault or fault_of(self._kafka, self._topic, error, self._next)
                continue
            record = record_of(message, self._headers)
            self._headers = record.headers
            if record.partition in self._next:  # it may have been revoked in this very call
                self._next[record.partition] = record.offset + 1
                batches[record.partition].append(record)
        if self._fault is not None and not batches:
            raise self._fault
        return dict(batches)

    def done(self, partition: int, next_offset: int) -> None:
        """Note that the records of the partition before this offset are handled."""
        if partition in self._next:
            self._done[partition] = next_offset

    def commit(self) -> None:
        """Commit the handled records and wait for it, even for the end of a rebalance. Records of partitions that
        another member has by then come again. Raises `LogUnavailable`, `LogRefused`.
        """
        deadline_s = time.monotonic() + _REBALANCE_S
        while True:
            try:
                self._commit_now(self._done)
            except KafkaException as error:
                cause = error.args[0]
                if cause.code() not in _REBALANCING or time.monotonic() > deadline_s:
                    raise self._not_committed(error) from error
            else:
                return
            # Only a poll takes part in the rebalance. What it returns is kept for the next one.
            message = self._consumer.poll(0.1)
            if message is not None:
                self._waiting.append(message)

    def close(self) -> None:
        """Commit the handled records, and leave the group, so that the others take over at once."""
        try:
            self.commit()
        finally:
            self._consumer.close()

    def _more(self, most: int) -> list[Message]:
        """Messages that have arrived already."""
        if not self._waiting:
            return self._consumer.consume(most, 0)
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def _places_of(self, done: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition, offset, self._topic_id) for partition, offset in done.items()]

    def _commit_soon(self) -> None:
        """Commit in the background: `_answered` hears whether it went well, and if not, the next one tries again."""
        self._committed_at_s = time.monotonic()
        if self._done:
            self._consumer.commit(offsets=self._places_of(self._done), asynchronous=True)

    def _commit_now(self, done: Mapping[int, int]) -> None:
        self._committed_at_s = time.monotonic()
        if done:
            self._consumer.commit(offsets=self._places_of(done), asynchronous=False)
            self._committed(done)

    def _committed(self, done: Mapping[int, int]) -> None:
        self._done = {partition: offset for partition, offset in self._done.items() if done.get(partition) != offset}

    def _answered(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        if error is None:
            self._committed({each.partition: each.offset for each in places if each.error is None})

    def _not_committed(self, error: KafkaException) -> LogError:
        cause = error.args[0]
        return refusal(self._kafka, cause) or LogUnavailable(
            f"the place in {self._topic} could not be committed, so some events will come again: {cause.str()}"
        )

    # An error in a callback would end up in the client's log: it is raised by the next poll.

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            start = self._places(consumer, [each.partition for each in partitions])
        except LogError as error:
            self._fault = error
            start = {}
        except KafkaException as error:
            self._fault = LogUnavailable(f"Kafka does not tell the place in {self._topic}: {error.args[0].str()}")
            start = {}
        self._next |= start
        consumer.incremental_assign([TopicPartition(self._topic, *place) for place in start.items()])

    def _places(self, consumer: Consumer, partitions: Collection[int]) -> dict[int, int]:
        """Where to continue, by partition: at the committed offset, or else where a new group begins."""
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        places: dict[int, int] = {}
        for found in consumer.committed(wanted, _ANSWER_S):
            if found.error is not None:
                raise KafkaException(found.error)
            if found.offset == OFFSET_INVALID:
                continue
            if found.metadata and found.metadata != self._topic_id:
                raise TopicMismatch(
                    f"the group has its place in an earlier topic {self._topic} (id {found.metadata}, now"
                    f" {self._topic_id}): choose another group"
                )
            places[found.partition] = found.offset
        if len(places) < len(partitions):
            start = self._start()
            places |= {partition: start[partition] for partition in partitions if partition not in places}
        return places

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {each.partition for each in partitions}
        try:
            self._commit_now({each: offset for each, offset in self._done.items() if each in gone})
        except KafkaException as error:
            if error.args[0].code() in _REBALANCING:  # the next member gets these events again, as after a crash
                _log.warning("%s", self._not_committed(error))
            else:
                self._fault = self._not_committed(error)
        self._forget(gone)
        consumer.incremental_unassign(partitions)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Another member already has them, so nothing may be committed."""
        self._forget({each.partition for each in partitions})

    def _forget(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            self._next.pop(partition, None)
            self._done.pop(partition, None)
        self._waiting = deque(each for each in self._waiting if each.partition() not in partitions)
        self._dropped(partitions)
