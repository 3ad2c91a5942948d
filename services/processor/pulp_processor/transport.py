"""A transport for Faust that hands out whole batches.

Faust hands out one record at a time. This one gives it, for each partition of a fetch, one message that carries the
list of records: Faust keeps membership, assignment and fetching, and Python sees a batch. Where reading starts is
Postgres, never the consumer group's offsets; those are only told, for tools that show lag.
"""

from collections.abc import Awaitable, Mapping
from typing import Any, Final, NamedTuple, Protocol, cast

from aiokafka.errors import OffsetOutOfRangeError
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from pulp_events.errors import OffsetOutOfRange
from pulp_events.reader import Record

SCHEME: Final = "pulp-batches"
_SHORT_S: Final = 0.02


class Batch(NamedTuple):
    """Records of one partition in order. `epoch` is the writer's number of seeks when they were asked for."""

    records: list[Record]
    epoch: int


class Owner(Protocol):
    """What the consumer asks of the app: all about the partitions' writers."""

    def locate(self, partitions: set[int]) -> Awaitable[Mapping[int, int]]:
        """The positions in Postgres of the partitions that are assigned now."""
        ...

    def with_room(self) -> Mapping[int, int]:
        """The partitions whose writers can take another batch, each with its epoch."""
        ...

    async def wait_for_room(self, timeout_s: float) -> None:
        """Returns when a writer has taken a batch out of its queue, or after the timeout."""
        ...

    def positions(self) -> Mapping[int, int]:
        """Partition → next offset, as committed in Postgres."""
        ...


class BatchConsumer(driver.Consumer):
    """Faust's aiokafka consumer, with batches for messages and Postgres for committed offsets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset: Any = _ReadOffsets()
        self._told: dict[TP, int] = {}

    @property
    def _owner(self) -> Owner:
        return cast(Owner, self.app)  # Faust hands its app through; ours is the one that has writers

    async def seek_to_committed(self) -> dict[TP, int]:
        """Seek to the positions in Postgres; called by Faust on every assignment."""
        assigned = self.assignment()
        located = await self._owner.locate({tp.partition for tp in assigned})
        positions = {tp: located[tp.partition] for tp in assigned}
        self._told.clear()
        await self.seek_wait(positions)
        return positions

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Tell the group how far Postgres is. Nothing here reads it back."""
        positions = self._owner.positions()
        offsets = {tp: positions[tp.partition] for tp in self.assignment() if tp.partition in positions}
        news = {tp: offset for tp, offset in offsets.items() if self._told.get(tp) != offset}
        if not news or not await self._commit(news):
            return False
        self._told.update(news)
        return True

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's
        active = active_partitions or set()
        epochs = self._owner.with_room()
        wanted = {tp for tp in active if tp.partition in epochs}
        if not wanted:
            await self._owner.wait_for_room(timeout)
            return {}
        if wanted != active:
            timeout = _SHORT_S  # the others get room while nothing comes for these
        try:
            fetched = await super()._getmany(wanted, timeout)
        except OffsetOutOfRangeError as error:
            raise OffsetOutOfRange(
                f"Kafka no longer holds an offset that comes next: {error}. Retention has cut events that were never"
                " projected, or the topic was made anew or truncated. Nothing was skipped. Restore the log, or use a"
                " fresh database for a fresh topic"
            ) from error
        return {tp: [(epochs[tp.partition], records)] for tp, records in fetched.items() if records}

    def _to_message(self, tp: TP, record: tuple[int, list[Any]]) -> Any:
        epoch, records = record
        # The parent's message of the last record: without its generation id Faust would drop it without a word.
        message = super()._to_message(tp, records[-1])
        batch: Any = Batch(
            [
                Record(item.partition, item.offset, item.timestamp, item.key, item.value, tuple(item.headers or ()))
                for item in records
            ],
            epoch,
        )
        message.value = batch
        return message


class BatchTransport(driver.Transport):
    """Names the consumer."""

    Consumer = BatchConsumer


class _ReadOffsets(dict[Any, Any]):
    """Faust drops what it has handed out before; after a seek back it must not. The projector decides what is new."""

    def __missing__(self, tp: object) -> None:
        return None

    def __setitem__(self, tp: object, offset: object) -> None:
        pass

    def update(self, *args: object, **kwargs: object) -> None:
        pass


TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"
