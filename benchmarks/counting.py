"""A Faust app that counts events and prints their rate per second: `counting TRANSPORT KAFKA TOPIC EVENTS`."""

import asyncio
import sys
import time
from collections.abc import Mapping, Set
from typing import Any

import faust
from pulp_processor.consuming.flow import NextFetch
from pulp_processor.consuming.internals import SCHEME, install


class _App(faust.App):
    """A `ConsumerOwner` that reads from the start and always fetches every partition."""

    _reading: frozenset[int] = frozenset()
    _seeking: "asyncio.Task[None] | None" = None

    def assigned(self, partitions: set[int]) -> None:
        self._seeking = asyncio.create_task(self._seek(partitions))

    async def _seek(self, partitions: set[int]) -> None:
        await self.consumer.seek_wait({tp: 0 for tp in self.consumer.assignment() if tp.partition in partitions})
        self._reading = frozenset(partitions)

    def next_fetch(self, active: Set[int], longest_s: float) -> NextFetch:
        return NextFetch(dict.fromkeys(self._reading & active, 1), longest_s)

    async def wait_for_capacity(self, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)

    def positions(self) -> Mapping[int, int]:
        return {}

    def on_fault(self, error: Exception) -> None:
        raise error


async def count(transport: str, kafka: str, topic_name: str, events: int) -> float:
    """Events per second after the first batch, which is not counted."""
    scheme = {"batches": SCHEME, "plain": "kafka"}[transport]
    if transport == "batches":
        install()  # it replaces aiokafka's fetching, also for Faust's own transport
    app = _App(
        f"counting-{transport}",
        broker=f"{scheme}://{kafka}",
        broker_max_poll_records=5000,
        consumer_auto_offset_reset="earliest",
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
    )
    rate: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    topic = app.topic(topic_name, key_serializer="raw", value_serializer="raw", acks=transport == "plain")

    async def agent(stream: Any) -> None:
        seen = first = 0
        began_s = 0.0
        async for event in stream.events():
            seen += len(event.value.records) if transport == "batches" else 1
            if not began_s:
                first, began_s = seen, time.perf_counter()
            if seen >= events and not rate.done():
                rate.set_result((seen - first) / (time.perf_counter() - began_s))

    app.agent(topic, name="count")(agent)
    await app.start()
    async with asyncio.timeout(120):
        found = await rate
    await app.stop()
    return found


if __name__ == "__main__":
    print(asyncio.run(count(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
