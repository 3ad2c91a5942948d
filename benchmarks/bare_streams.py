"""The limit of `stream`: it reads Kafka, and writes what comes to every connection: `bare_streams PORT`.

The bytes are those of the API's streams without a filter. It neither waits for slow readers nor looks at the request.
"""

import asyncio
import os
import sys
import threading

from pulp_api.front.direct import framed
from pulp_api.streaming.hub import place_of
from pulp_api.streaming.outlets import compressed
from pulp_api.streaming.streamed_events import streamed
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.topics import Topics
from pulp_runtime.gc_tuning import collect_seldom

from benchmarks.scene import PARTITIONS

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_BEGIN = framed(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + compressed(b"retry: 1000\n\n").data)
_EVERY_S = 0.08
"""How often the API wakes 2,000 readers."""


class _Client(asyncio.Protocol):
    """Is written to from its first request on."""

    def __init__(self, clients: set[asyncio.Transport]) -> None:
        self._clients = clients

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(_HEAD + _BEGIN)
        self._clients.add(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._clients.discard(self._transport)


async def _serve(port: int) -> None:
    kafka, topic = os.environ["PULP_KAFKA"], Topics.named(os.environ["PULP_TOPIC_PREFIX"]).events
    log = KafkaLog(kafka, topic, PARTITIONS)
    await log.start()
    start = dict(await log.end_offsets())
    await log.close()
    loop = asyncio.get_running_loop()
    clients: set[asyncio.Transport] = set()
    waiting: list[bytes] = []

    def read() -> None:
        offsets = [start[partition] for partition in range(PARTITIONS)]
        with Reader(kafka, topic, start) as reader:
            while True:
                parts = []
                for records in reader.poll(0.2).values():
                    for record in records:
                        offsets[record.partition] = record.offset + 1
                        event = streamed(record)
                        parts += [place_of("A" * 22, offsets), event.name, event.data]
                if parts:
                    loop.call_soon_threadsafe(waiting.append, b"".join(parts))

    threading.Thread(target=read, daemon=True).start()
    await loop.create_server(lambda: _Client(clients), "127.0.0.1", port, backlog=1000)
    while True:
        await asyncio.sleep(_EVERY_S)
        if waiting:
            data = framed(compressed(b"".join(waiting)).data)
            waiting.clear()
            for transport in clients:
                transport.write(data)


if __name__ == "__main__":
    collect_seldom()
    asyncio.run(_serve(int(sys.argv[1])))
