"""A relay in front of Kafka's brokers that can lose the response to a produce request, and records its `acks`.

It replaces the brokers' addresses in their responses by its own. A client's frame is its size, API key, version and
correlation id (Kafka protocol guide, "Protocol
Primitive Types" and "The Messages").
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from confluent_kafka.admin import AdminClient
from pulp_events.kafka import client_settings

_PRODUCE: Final = 0
_HOST: Final = "127.0.0.1"
_Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class KafkaRelay:
    """Forwards frames. Clients that bootstrap at `bootstrap` reach every broker through it."""

    def __init__(self) -> None:
        self.bootstrap = ""
        self.lost = 0
        """How many responses were lost; their records are in the log."""
        self.acks: set[int] = set()
        """The `acks` of the produce requests; -1: all in-sync replicas."""
        self._losing = False
        self._renamed: dict[bytes, bytes] = {}
        self._pairs: set[asyncio.Task[None]] = set()

    def lose_next_acknowledgement(self) -> None:
        """Forward the next produce request, and break its connection when the broker has answered."""
        self._losing = True

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Relay the broker with this advertised address."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve((reader, writer), host, port)

        server = await asyncio.start_server(serve, _HOST, 0)
        own_port: int = server.sockets[0].getsockname()[1]
        self._renamed[host.encode() + port.to_bytes(4, "big")] = host.encode() + own_port.to_bytes(4, "big")
        self.bootstrap = f"{_HOST}:{own_port}"
        return server

    async def close(self) -> None:
        """Break all connections."""
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def _serve(self, client: _Pipe, host: str, port: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        try:
            server = await asyncio.open_connection(host, port)
            try:
                await self._relay(client, server)
            finally:
                server[1].transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # the end of a connection, which is what this is for
        finally:
            self._pairs.discard(task)
            client[1].transport.abort()

    async def _relay(self, client: _Pipe, server: _Pipe) -> None:
        doomed: set[bytes] = set()

        async def to_server() -> None:
            while frame := await _frame(client[0]):
                if int.from_bytes(frame[4:6], "big") == _PRODUCE:
                    self.acks.add(_acks(frame))
                    if self._losing:
                        self._losing = False
                        doomed.add(frame[8:12])
                server[1].write(frame)
                await server[1].drain()

        async def to_client() -> None:
            while frame := await _frame(server[0]):
                if frame[4:8] in doomed:
                    self.lost += 1
                    return
                for address, instead in self._renamed.items():
                    frame = frame.replace(address, instead)
                client[1].write(frame)
                await client[1].drain()

        ways = [asyncio.create_task(to_server()), asyncio.create_task(to_client())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame with its size; empty at the end of the stream."""
    try:
        size = await reader.readexactly(4)
        return size + await reader.readexactly(int.from_bytes(size, "big"))
    except asyncio.IncompleteReadError:
        return b""


def _acks(produce: bytes) -> int:
    """After the header's client id and empty tags come the transactional id (null) and `acks`."""
    assert int.from_bytes(produce[6:8], "big") >= 9, "an older produce request has its fields elsewhere"
    after_client_id = 14 + int.from_bytes(produce[12:14], "big")
    assert produce[after_client_id : after_client_id + 2] == b"\0\0"
    return int.from_bytes(produce[after_client_id + 2 : after_client_id + 4], "big", signed=True)


@asynccontextmanager
async def kafka_relay(kafka: str) -> AsyncIterator[KafkaRelay]:
    """A relay in front of every broker of the cluster."""
    brokers = (await asyncio.to_thread(AdminClient(client_settings(kafka)).list_topics, timeout=20)).brokers.values()
    relay = KafkaRelay()
    async with AsyncExitStack() as stack:
        for broker in brokers:
            server = await relay.serve(str(broker.host), broker.port)
            stack.callback(server.close)
        try:
            yield relay
        finally:
            await relay.close()
