"""A transport for Faust that hands out whole batches.

Faust hands out one record at a time. This one gives it, for each partition of a fetch, one message that carries the
list of records: Faust keeps membership, assignment and fetching, and Python sees a batch. Where reading starts is
Postgres, never the consumer group's offsets; those are only told, for tools that show lag.
"""

import logging
from collections.abc import Mapping, Sequence
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
from pulp_processor.consuming.fetching import fit_aiokafka
from pulp_processor.consuming.on_loop import ConsumerOnLoop

SCHEME: Final = "pulp-batches"
_SHORT_S: Final = 0.02
_LOG_APPEND_TIME: Final = 1
_log = logging.getLogger("pulp.processor")


class Batch(NamedTuple):
    """Records of one partition in order. `epoch` is the writer's number of seeks when they were asked for."""

    records: list[Record]
    epoch: int


class Owner(Protocol):
    """What the consumer asks of the app: all about the partitions' writers."""

    def assigned(self, partitions: set[int]) -> None:
        """These partitions are assigned now, and no others. Seeks to their positions as soon as Postgres tells them."""
        ...

    def with_room(self) -> Mapping[int, int]:
        """The partitions whose writers can take another batch, each with its epoch."""
        ...

    async def wait_for_room(self, timeout_s: float) -> None:
        """Returns when a writer has taken a batch out of its queue, or written one, or after the timeout."""
        ...

    def positions(self) -> Mapping[int, int]:
        """Partition → next offset, as committed in Postgres."""
        ...

    async def read_apart(self, partitions: set[int]) -> Mapping[int, Sequence[Record]]:
        """What comes next in these partitions, read by another client than aiokafka."""
        ...

    def on_fault(self, error: Exception) -> None:
        """Nothing can be read any more."""
        ...


class BatchConsumer(driver.Consumer):
    """Faust's aiokafka consumer, with batches for messages and Postgres for committed offsets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset: Any = _ReadOffsets()
        fit_aiokafka()
        self._told: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerOnLoop:
        return ConsumerOnLoop(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    @property
    def _owner(self) -> Owner:
        return cast(Owner, self.app)  # Faust hands its app through; ours is the one that has writers

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Faust seeks only where something is assigned: what is lost has to be known all the same."""
        if not assigned:
            self._owner.assigned(set())
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> dict[TP, int]:
        """Called by Faust on every assignment. The seek to the positions in Postgres comes when Postgres tells them.

        It is not waited for: where that takes longer than a request to Kafka may, Faust would never read again.
        """
        self._told.clear()
        self._owner.assigned({tp.partition for tp in self.assignment()})
        return {}

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Tell the group how far Postgres is. Nothing here reads it back. Faust calls it every two seconds."""
        if not self._is_member():
            return False  # whoever commits then is told to join once more, amid the joining
        positions = self._owner.positions()
        offsets = {tp: positions[tp.partition] for tp in self.assignment() if tp.partition in positions}
        news = {tp: offset for tp, offset in offsets.items() if self._told.get(tp) != offset}
        if not news or not await self._commit(news):
            return False
        self._told.update(news)
        return True

    def _is_member(self) -> bool:
        """Whether the group knows this processor. Takes what aiokafka has to say about the group.

        Until somebody takes that, aiokafka does not join again. It would raise it where one fetches, but Faust fetches
        past that place.
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
        active = active_partitions or set()
        epochs = self._owner.with_room()
        wanted = {tp for tp in active if tp.partition in epochs}
        if not wanted:
            await self._owner.wait_for_room(timeout)
            return {}
        if wanted != active:
            timeout = _SHORT_S  # the others get room while nothing comes for these
        fetched = await self._fetch(wanted, timeout)
        return {tp: [(epochs[tp.partition], records)] for tp, records in fetched.items() if records}

    async def _fetch(self, wanted: set[TP], timeout: float) -> Any:  # noqa: ASYNC109  # Faust's
        try:
            return await self._fetch_any(wanted, timeout)
        except NoOffsetForPartitionError:
            return {}  # aiokafka asked the group where to read, before the seek came
        except ConsumerStoppedError:
            raise
        except OffsetOutOfRangeError as error:
            fault = OffsetOutOfRange.lost(", ".join(sorted({tp.topic for tp in wanted})), str(error))
            self._owner.on_fault(fault)
            raise fault from error
        except Exception as error:
            self._owner.on_fault(
                refusal(error) or error
            )  # for Faust it ends only the part that reads, and the process goes on
            raise

    async def _fetch_any(self, wanted: set[TP], timeout: float) -> Any:  # noqa: ASYNC109  # Faust's
        try:
            return await super()._getmany(wanted, timeout)
        except UnicodeDecodeError:
            return await self._fetch_apart(wanted)

    async def _fetch_apart(self, wanted: set[TP]) -> Any:
        by_partition = {tp.partition: tp for tp in wanted}
        found = await self._owner.read_apart(set(by_partition))
        records = {by_partition[partition]: list(batch) for partition, batch in found.items()}
        try:
            await self.seek_wait({tp: batch[-1].offset + 1 for tp, batch in records.items()})
        except IllegalStateError:
            return {}  # revoked meanwhile
        return records

    def _to_message(self, tp: TP, record: tuple[int, list[Record]]) -> Any:
        epoch, records = record
        # The parent's message of the last record: without its generation id Faust would drop it without a word.
        message = super()._to_message(tp, _as_aiokafkas(tp, records[-1]))
        batch: Any = Batch(records, epoch)
        message.value = batch
        return message


class BatchTransport(driver.Transport):
    """Names the consumer."""

    Consumer = BatchConsumer


def _as_aiokafkas(tp: TP, record: Record) -> ConsumerRecord[bytes, bytes]:
    headers: Any = record.headers  # aiokafka's type forgets that a header's value may be null
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


class _ReadOffsets(dict[Any, Any]):
    """Faust drops what it has handed out before; after a seek back it must not. The projector decides what is new."""

    def __missing__(self, tp: object) -> None:
        return None

    def __setitem__(self, tp: object, offset: object) -> None:
        pass

    def update(self, *args: object, **kwargs: object) -> None:
        pass


TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"
