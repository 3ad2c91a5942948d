"""Asking Kafka how far its partitions go."""

import asyncio
import contextlib
import itertools
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pulp_events.errors import LogUnavailable

ASK_AGAIN: Final = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,  # a new leader that does not know yet how far the others are
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._NOENT,  # "No leaders found": the topic has only just been made
}
"""Codes after which an offset is asked for again.

The admin client asks the broker that it knows as leader, and never asks who leads now. Of brokers' answers these are
the ones to ListOffsets that Kafka's protocol calls retriable.
"""
_RETRY_S: Final = 0.05
_LEADER_S: Final = 1.0
"""How long a broker may take to answer before it is asked who leads now."""


class Offsets:
    """Asks the brokers for an offset of every partition."""

    def __init__(self, admin: AdminClient, partitions: Sequence[TopicPartition], timeout_s: float) -> None:
        self._admin = admin
        self._partitions = partitions
        self._timeout_s = timeout_s

    async def ask(self, spec: OffsetSpec) -> dict[int, int]:
        """By partition; raises `LogUnavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    if (found := await self._ask(spec)) is not None:
                        return found
                    await asyncio.sleep(_RETRY_S)
                    await asyncio.to_thread(self._learn_leaders)
        except (KafkaException, TimeoutError) as error:
            raise LogUnavailable(f"Kafka does not tell how far the log goes: {error!r}") from error

    async def _ask(self, spec: OffsetSpec) -> dict[int, int] | None:
        """None while a partition has no leader that answers, as just after its creation or a broker's fall."""
        patience_s = min(_LEADER_S, self._timeout_s)
        futures = self._admin.list_offsets(dict.fromkeys(self._partitions, spec), request_timeout=patience_s)
        await _all_done(futures.values())
        found = {}
        for where, future in futures.items():
            error = future.exception()
            if isinstance(error, KafkaException) and error.args[0].code() in ASK_AGAIN:
                return None
            if error is not None:
                raise error
            offset = future.result().offset
            if offset == OFFSET_INVALID:
                return None  # no answer, and no error either: seen of a partition whose leader had just died
            found[where.partition] = offset
        return found

    def _learn_leaders(self) -> None:
        with contextlib.suppress(KafkaException):  # asked again while there is time
            self._admin.list_topics(self._partitions[0].topic, min(_LEADER_S, self._timeout_s))


async def _all_done(futures: Collection[Future[Any]]) -> None:
    """Returns when all are done. They all are by one answer: the loop is woken once, not by each."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    left = itertools.count(len(futures) - 1, -1)

    def count(_: Future[Any]) -> None:  # in the client's thread
        if next(left) == 0:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

    for future in futures:
        future.add_done_callback(count)
    await done.wait()


class EndOffsets:
    """Reads of the end offsets, shared by callers that wait at the same time.

    A caller never gets an answer that was asked for before it came: it waits for the one under way and takes the next.
    """

    def __init__(self, offsets: Offsets) -> None:
        self._offsets = offsets
        self._running: asyncio.Task[dict[int, int]] | None = None
        self._queued: asyncio.Task[dict[int, int]] | None = None

    async def read(self) -> dict[int, int]:
        """By partition; raises `LogUnavailable`."""
        if self._queued is None:
            self._queued = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._queued)

    async def _after(self, running: "asyncio.Task[dict[int, int]] | None") -> dict[int, int]:
        if running is not None:
            await asyncio.wait([running])
        self._running, self._queued = self._queued, None
        return await self._offsets.ask(OffsetSpec.latest())
