"""A Faust transport that delivers whole batches.

Faust delivers one record at a time. This transport gives it one message for each partition of a fetch, and that message
carries the list of records. Faust still does membership, assignment and fetching. Reading starts at the positions in
Postgres, never at the consumer group's offsets, which are committed only for tools that show lag.
"""

import logging
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, NamedTuple, Protocol, cast

from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from pulp_events.errors import OffsetOutOfRange
from pulp_events.reader import Record

from pulp_processor.consuming.aiokafka_settings import refusal
from pulp_processor.consuming.flow import NextFetch
from pulp_processor.consuming.internals.single_loop_consumer import SingleLoopConsumer

SCHEME: Final = "pulp-batches"
_LOG_APPEND_TIME: Final = 1
_log = logging.getLogger("pulp.processor")


def install() -> None:
    """Register the transport with Faust: broker URLs that begin with `SCHEME` use it from now on."""
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"


class Batch(NamedTuple):
    """Records of one partition in order. `epoch` is its writer's epoch when they were requested."""

    records: list[Record]
    epoch: int


class ConsumerOwner(Protocol):
    """What the consumer needs from the app, which knows the partitions' writers."""

    def assigned(self, partitions: set[int]) -> None:
        """Exactly these partitions are assigned now. Seeks to their positions once they have been read from Postgres.

        Returns at once.
        """
        ...

    def next_fetch(self, active: Set[int], longest_s: float) -> NextFetch:
        """What to fetch of the active partitions, and how long to wait for it."""
        ...

    async def wait_for_capacity(self, timeout_s: float) -> None:
        """Return when a writer has dequeued or committed a batch, or after the timeout."""
        ...

    def positions(self) -> Mapping[int, int]:
        """Partition → next offset, as committed in Postgres."""
        ...

    async def read_with_librdkafka(self, partitions: set[int]) -> Mapping[int, Sequence[Record]]:
        """The next records of these partitions, read without aiokafka."""
        ...

    def on_fault(self, error: Exception) -> None:
        """Reading has failed for good."""
        ...


class BatchConsumer(driver.Consumer):
    """Faust's aiokafka consumer, whose messages are batches and whose positions are those in Postgres."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset: Any = _NoReadOffsets()
        self._group_offsets: dict[TP, int] = {}

    def _new_consumer_thread(self) -> SingleLoopConsumer:
        return SingleLoopConsumer(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    @property
    def _owner(self) -> ConsumerOwner:
        return cast(ConsumerOwner, self.app)  # Faust passes its app on, and ours is a ConsumerOwner

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Also tell the owner when all partitions are gone: Faust calls `seek_to_committed` only if some are left."""
        if not assigned:
            self._owner.assigned(set())
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> dict[TP, int]:
        """Called by Faust on every assignment. The owner seeks when it has read the positions from Postgres.

        This does not wait for it: if it took longer than a request to Kafka may, Faust would never read again.
        """
        self._group_offsets.clear()
        self._owner.assigned({tp.partition for tp in self.assignment()})
        return {}

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit the positions in Postgres to the group, for tools that show lag. Faust calls it every two seconds."""
        if not self._is_member():
            return False  # a commit would make aiokafka join once more while it is joining
        positions = self._owner.positions()
        offsets = {tp: positions[tp.partition] for tp in self.assignment() if tp.partition in positions}
        changed = {tp: offset for tp, offset in offsets.items() if self._group_offsets.get(tp) != offset}
        if not changed or not await self._commit(changed):
            return False
        self._group_offsets.update(changed)
        return True

    def _is_member(self) -> bool:
        """Whether this processor has joined the group. Collects the group error that aiokafka has stored, if any.

        aiokafka does not join again before somebody has collected it. It raises it in a method that Faust bypasses.
        """
        consumer = getattr(self._thread, "_consumer", None)
        if consumer is None:
            return False
        coordinator = consumer._coordinator
        try:
            coordinator.check_errors()
        except KafkaError as error:
            if type(error) is not KafkaError or coordinator._coordination_task.done():
                self._owner.on_fault(refusal(error) or error)
            else:
                _log.warning("joining the consumer group again: %s", error)
        return bool(coordinator.member_id != JoinGroupRequest.UNKNOWN_MEMBER_ID)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's
        active = {tp.partition: tp for tp in active_partitions or ()}
        epochs, timeout = self._owner.next_fetch(active.keys(), timeout)
        if not epochs:
            await self._owner.wait_for_capacity(timeout)
            return {}
        fetched = await self._fetch({active[partition] for partition in epochs}, timeout)
        return {tp: [(epochs[tp.partition], records)] for tp, records in fetched.items() if records}

    async def _fetch(self, wanted: set[TP], timeout: float) -> Any:  # noqa: ASYNC109  # Faust's
        try:
            return await self._fetch_with_aiokafka(wanted, timeout)
        except NoOffsetForPartitionError:
            return {}  # before the seek, aiokafka looks for an offset that the group may not have
        except ConsumerStoppedError:
            raise
        except OffsetOutOfRangeError as error:
            fault = OffsetOutOfRange.lost(", ".join(sorted({tp.topic for tp in wanted})), str(error))
            self._owner.on_fault(fault)
            raise fault from error
        except Exception as error:
            # Faust would end only its reading task, and the process would go on.
            self._owner.on_fault(refusal(error) or error)
            raise

    async def _fetch_with_aiokafka(self, wanted: set[TP], timeout: float) -> Any:  # noqa: ASYNC109  # Faust's
        try:
            return await super()._getmany(wanted, timeout)
        except UnicodeDecodeError:
            return await self._fetch_with_librdkafka(wanted)

    async def _fetch_with_librdkafka(self, wanted: set[TP]) -> Any:
        by_partition = {tp.partition: tp for tp in wanted}
        found = await self._owner.read_with_librdkafka(set(by_partition))
        records = {by_partition[partition]: list(batch) for partition, batch in found.items()}
        try:
            await self.seek_wait({tp: batch[-1].offset + 1 for tp, batch in records.items()})
        except IllegalStateError:
            return {}  # revoked meanwhile
        return records

    def _to_message(self, tp: TP, record: tuple[int, list[Record]]) -> Any:
        epoch, records = record
        # The parent's message for the last record: Faust silently drops a message without its generation id.
        message = super()._to_message(tp, _as_consumer_record(tp, records[-1]))
        batch: Any = Batch(records, epoch)
        message.value = batch
        return message


class BatchTransport(driver.Transport):
    """The transport that Faust creates for `SCHEME` URLs."""

    Consumer = BatchConsumer


def _as_consumer_record(tp: TP, record: Record) -> ConsumerRecord[bytes, bytes]:
    headers: Any = record.headers  # aiokafka's type does not allow null header values
    return ConsumerRecord(
        tp.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        _LOG_APPEND_TIME,
        record.key,
        record.value,
        None,
        -1,
        -1,
        headers,
    )


class _NoReadOffsets(dict[Any, Any]):
    """Remembers nothing: Faust would drop records it has delivered before, which must come again after a seek back.

    The projector decides which records are new.
    """

    def __missing__(self, tp: object) -> None:
        return None

    def __setitem__(self, tp: object, offset: object) -> None:
        pass

    def update(self, *args: object, **kwargs: object) -> None:
        pass
