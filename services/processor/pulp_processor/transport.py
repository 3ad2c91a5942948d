"""A transport for Faust that hands out whole batches.

Faust hands out one record at a time. This one gives it, for each partition of a fetch, one message that carries the
list of records: Faust keeps membership, assignment and flow control, and Python sees a batch. And the place where
reading starts is Postgres, never the consumer group's offsets.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from pulp_events.reader import Record

SCHEME: Final = "pulp-batches"
Locate = Callable[[set[int]], Awaitable[Mapping[int, int]]]
"""Partitions → their next offsets, as Postgres knows them."""


class BatchConsumer(driver.Consumer):
    """Faust's aiokafka consumer, with batches for messages and Postgres for committed offsets."""

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's
        fetched = await super()._getmany(active_partitions, timeout)
        return {tp: [records] for tp, records in fetched.items() if records}

    def _to_message(self, tp: TP, record: list[Any]) -> Any:
        # The parent's message of the last record: its offset acknowledges the list, its generation id lets it pass.
        message = super()._to_message(tp, record[-1])
        batch: Any = [
            Record(item.partition, item.offset, item.timestamp, item.key, item.value, tuple(item.headers or ()))
            for item in record
        ]
        message.value = batch
        return message

    async def seek_to_committed(self) -> dict[TP, int]:
        """Seek to the positions in Postgres; called by Faust on every assignment."""
        assigned = self.assignment()
        app: Any = self.app  # the ProcessorApp
        located = await app.locate({tp.partition for tp in assigned})
        positions = {tp: located[tp.partition] for tp in assigned}
        await self.seek_wait(positions)
        return positions


class BatchTransport(driver.Transport):
    """Names the consumer."""

    Consumer = BatchConsumer


TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"
