"""Asking Kafka for the offsets of partitions."""

import asyncio
import contextlib
import itertools
from collections.abc import Collection, Mapping, Sequence
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
    KafkaError.OFFSET_NOT_AVAILABLE,  # a new leader that does not yet know the positions of its followers
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._NOENT,  # "No leaders found": the topic was created a moment ago
}
"""Codes after which an offset request is repeated.

The admin client asks the leader that it knows, and never looks for a new one. The brokers' codes among these are those
that Kafka's protocol calls retriable for ListOffsets.
"""
RETRY_S: Final = 0.05
"""The pause before a repeated request."""
_LEADER_S: Final = 1.0
"""How long a broker may take to answer before the leader is looked up again."""


class AskAgain(Exception):
    """A partition has no leader that answers, for example just after its creation or the end of a broker."""


def answered(futures: Mapping[TopicPartition, "Future[Any]"]) -> dict[int, int]:
    """The offsets of a ListOffsets request, all of whose futures are done, by partition.

    Raises `AskAgain` for a temporary error, `KafkaException` for any other.
    """
    found = {}
    for where, future in futures.items():
        error = future.exception()
        if isinstance(error, KafkaException) and error.args[0].code() in ASK_AGAIN:
            raise AskAgain(error.args[0].str()) from error
        if error is not None:
            raise error
        offset = int(future.result().offset)
        if offset == OFFSET_INVALID:  # seen just after the leader died
            raise AskAgain("no offset, and no error")
        found[where.partition] = offset
    return found


def learn_leaders(client: AdminClient, topic: str, timeout_s: float) -> None:
    """Look up the leaders of the partitions, before a repeated request."""
    with contextlib.suppress(KafkaException):  # the caller repeats it while there is time
        client.list_topics(topic, timeout_s)


class Offsets:
    """Asks the brokers for one offset of every partition."""

    def __init__(self, admin: AdminClient, partitions: Sequence[TopicPartition], timeout_s: float) -> None:
        self._admin = admin
        self._partitions = partitions
        self._timeout_s = timeout_s

    async def ask(self, spec: OffsetSpec) -> dict[int, int]:
        """By partition; raises `LogUnavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    try:
                        return await self._ask(spec)
                    except AskAgain:
                        await asyncio.sleep(RETRY_S)
                    await asyncio.to_thread(
                        learn_leaders, self._admin, self._partitions[0].topic, min(_LEADER_S, self._timeout_s)
                    )
        except (KafkaException, TimeoutError) as error:
            raise LogUnavailable(f"Kafka does not tell how far the log goes: {error!r}") from error

    async def _ask(self, spec: OffsetSpec) -> dict[int, int]:
        patience_s = min(_LEADER_S, self._timeout_s)
        futures = self._admin.list_offsets(dict.fromkeys(self._partitions, spec), request_timeout=patience_s)
        await _all_done(futures.values())
        return answered(futures)


async def _all_done(futures: Collection[Future[Any]]) -> None:
    """Wait for all of them, and wake the loop only once: a broker's answer completes many at the same time."""
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
    """Reads the end offsets once for all callers that wait at the same time.

    A caller never receives the answer to an earlier request: it waits for the one in flight and shares the next.
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
