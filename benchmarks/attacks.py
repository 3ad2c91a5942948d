"""Hostile clients: `python -m benchmarks.attacks NAME PORT` attacks until its standard input ends.

Each attacker comes from a loopback address of its own, never 127.0.0.1, which the honest ones have. Prints one JSON
object: outcome of an attack → how often.
"""

import asyncio
import os
import resource
import socket
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Final, NamedTuple, NoReturn

import msgspec

_CROWD: Final = 2000
"""The number of connections of mass attacks."""
_ADDRESSES: Final = 250
_FEW: Final = 4
_BIG: Final = 100_000_000
_CHUNK: Final = b"a" * 65_536
_DRIP_S: Final = 1.0
_AGAIN_S: Final = 0.2
"""How long an attacker waits before it reconnects."""
_NAMES: Final = ("admin", "bench", "nobody")
_NICENESS: Final = 15
"""The niceness of attackers, which leaves the processor to the server and its honest clients."""
TASKS: Final = "/pulp/api/v3/tasks/"
V2_TASKS: Final = "/pulp/api/v2/tasks/"


class Connection(NamedTuple):
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send bytes as fast as the server accepts them."""
        self.writer.write(data)
        await self.writer.drain()


class Target:
    """The server, and the outcomes of the attacks so far."""

    def __init__(self, port: int, authorization: str) -> None:
        self.counts: Counter[str] = Counter()
        self.head: Final = f"Host: 127.0.0.1:{port}\r\n".encode()
        self.head_of_user: Final = self.head + f"Authorization: {authorization}\r\n".encode()
        self._port = port
        self._numbers = count()

    @asynccontextmanager
    async def connection(self, *, takes: int = 65_536) -> AsyncIterator[Connection]:
        """A connection from the next address, whose receive buffer holds this many bytes."""
        self.counts["connections"] += 1
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        made.bind((f"127.0.7.{next(self._numbers) % _ADDRESSES + 1}", 0))
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self._port))
            reader, writer = await asyncio.open_connection(sock=made, limit=takes)
        except OSError:
            made.close()
            raise
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    def answered(self, line: bytes) -> None:
        """Count an answer by its first line; an empty one means that the server closed the connection."""
        words = line.split(b" ", 2)
        self.counts[f"answered {words[1].decode()}" if len(words) > 1 else "ended by the server"] += 1


Attacker = Callable[[Target], Awaitable[None]]
"""One connection, from its beginning to its end."""


class Attack(NamedTuple):
    """Run this many attackers at once; each reconnects when its connection has ended."""

    attacker: Attacker
    how_many: int


async def silent(target: Target) -> None:
    """Connect and say nothing."""
    async with target.connection() as made:
        target.answered(await made.reader.readline())


async def half_a_head(target: Target) -> None:
    """An endless request head, sent byte by byte."""
    async with target.connection() as made:
        await made.send(b"GET / HTTP/1.1\r\n" + target.head)
        await _drip(target, made, b"X-More: ", b"a")


async def slow_body(target: Target) -> None:
    """An announced body, sent byte by byte."""
    async with target.connection() as made:
        head = b"Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
        await made.send(b"POST " + TASKS.encode() + b" HTTP/1.1\r\n" + target.head_of_user + head)
        await _drip(target, made, b'{"', b"a")


async def big_head(target: Target) -> None:
    """One hundred megabytes of headers."""
    async with target.connection() as made:
        await made.send(b"GET / HTTP/1.1\r\n" + target.head)
        await _flood(target, made, b"X-More: " + _CHUNK[:4000] + b"\r\n")


async def one_big_header(target: Target) -> None:
    """One header of one hundred megabytes."""
    async with target.connection() as made:
        await made.send(b"GET / HTTP/1.1\r\n" + target.head + b"X-More: ")
        await _flood(target, made, _CHUNK)


async def big_url(target: Target) -> None:
    """A URL of one hundred megabytes."""
    async with target.connection() as made:
        await made.send(b"GET /")
        await _flood(target, made, _CHUNK)


async def big_body(target: Target) -> None:
    """A body of one hundred megabytes, in chunks."""
    async with target.connection() as made:
        head = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        await made.send(b"POST " + TASKS.encode() + b" HTTP/1.1\r\n" + target.head_of_user + head)
        await _flood(target, made, b"10000\r\n" + _CHUNK + b"\r\n")


async def many_small_chunks(target: Target) -> None:
    """A body in chunks of one byte."""
    async with target.connection() as made:
        head = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        await made.send(b"POST " + TASKS.encode() + b" HTTP/1.1\r\n" + target.head_of_user + head)
        await _flood(target, made, b"1\r\na\r\n" * 10_000)


async def pipelining(target: Target) -> None:
    """Send requests without reading the answers."""
    async with target.connection(takes=1) as made:
        requests = (b"GET /pulp/api/v3/status/ HTTP/1.1\r\n" + target.head + b"\r\n") * 500
        for _ in range(_BIG // len(requests)):
            await made.send(requests)
            target.counts["bytes sent"] += len(requests)


async def never_reading(target: Target) -> None:
    """Request big answers and read them byte by byte."""
    async with target.connection(takes=1) as made:
        request = f"GET {TASKS}?limit=1000 HTTP/1.1\r\n".encode() + target.head_of_user + b"\r\n"
        await made.send(request * 20)
        while True:
            await asyncio.sleep(_DRIP_S)
            if not await made.reader.read(1):
                break
        target.answered(b"")


async def big_lists(target: Target) -> None:
    """A viewer who lists all tasks, in both dialects."""
    for path in (f"{TASKS}?limit=1000", V2_TASKS):
        await _ask(target, f"GET {path} HTTP/1.1\r\nConnection: close\r\n".encode() + target.head_of_user)


async def guessing(target: Target) -> None:
    """Wrong passwords, each a new one, for existing users and for an unknown one."""
    number = next(_guesses)
    guess = b64encode(f"{_NAMES[number % len(_NAMES)]}:{number}".encode())
    head = b"Connection: close\r\nAuthorization: Basic " + guess + b"\r\n"
    await _ask(target, f"GET {TASKS}?limit=1 HTTP/1.1\r\n".encode() + target.head + head)


async def streams(target: Target) -> None:
    """An event stream, held as long as the server allows."""
    async with target.connection() as made:
        await made.send(b"GET /pulp/api/v3/events/ HTTP/1.1\r\n" + target.head_of_user + b"\r\n")
        target.answered(await made.reader.readline())
        while await made.reader.read(4096):
            pass


async def flooding(target: Target) -> None:
    """Submit tasks of the largest size and the highest priority."""
    resources = [{"type": "flood", "id": str(number), "access": "shared"} for number in range(100)]
    body = msgspec.json.encode(
        {"operation": "noop", "resources": resources, "priority": 1000, "arguments": {"text": "x" * 40_000}}
    )
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    async with target.connection() as made:
        await made.send(b"POST " + TASKS.encode() + b" HTTP/1.1\r\n" + target.head_of_user + head + body)
        target.answered(await made.reader.readline())
        while await made.reader.read(len(_CHUNK)):
            pass


async def coming_and_going(target: Target) -> None:
    """Connect, send a request, and reset before the answer."""
    async with target.connection() as made:
        await made.send(f"GET {TASKS}?limit=100 HTTP/1.1\r\n".encode() + target.head_of_user + b"\r\n")


ATTACKS: Final = {
    attacker.__name__.replace("_", "-"): Attack(attacker, how_many)
    for attacker, how_many in {
        silent: _CROWD,
        half_a_head: _CROWD,
        slow_body: _CROWD,
        big_head: _FEW,
        one_big_header: _FEW,
        big_url: _FEW,
        big_body: _FEW,
        many_small_chunks: _FEW,
        pipelining: _FEW,
        never_reading: 100,
        big_lists: 16,
        guessing: 200,
        streams: _CROWD,
        flooding: 20,
        coming_and_going: 50,
    }.items()
}
_guesses: Final = count()


async def attack(name: str, target: Target) -> NoReturn:
    """Attack until cancelled."""
    chosen = ATTACKS[name]
    async with asyncio.TaskGroup() as group:
        for _ in range(chosen.how_many):
            group.create_task(_for_ever(chosen.attacker, target))
    raise AssertionError("attackers do not end")


async def _for_ever(attacker: Attacker, target: Target) -> NoReturn:
    while True:
        try:
            await attacker(target)
        except OSError as error:
            target.counts[f"connection lost: {type(error).__name__}"] += 1
        await asyncio.sleep(_AGAIN_S)


async def _ask(target: Target, head: bytes) -> None:
    async with target.connection() as made:
        await made.send(head + b"\r\n")
        target.answered(await made.reader.readline())
        while data := await made.reader.read(len(_CHUNK)):
            target.counts["bytes read"] += len(data)


async def _drip(target: Target, made: Connection, first: bytes, more: bytes) -> None:
    """Send a byte now and then, until the server answers or closes."""
    answer = asyncio.ensure_future(made.reader.readline())
    try:
        await made.send(first)
        while not (await asyncio.wait([answer], timeout=_DRIP_S))[0]:
            await made.send(more)
        target.answered(answer.result())
    finally:
        answer.cancel()


async def _flood(target: Target, made: Connection, piece: bytes) -> None:
    """Send up to a hundred megabytes, until the server answers or closes."""
    answer = asyncio.ensure_future(made.reader.readline())
    sent = 0
    try:
        while not answer.done() and sent < _BIG:
            await made.send(piece)
            sent += len(piece)
            await asyncio.sleep(0)
        target.answered(await answer)
    finally:
        target.counts["bytes sent"] += sent
        answer.cancel()


async def _main(name: str, port: int, authorization: str) -> None:
    target = Target(port, authorization)
    attacking = asyncio.ensure_future(attack(name, target))
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.buffer.read))
    await asyncio.wait([attacking, ended], return_when=asyncio.FIRST_COMPLETED)
    if attacking.done():
        attacking.result()
    print(msgspec.json.encode(dict(target.counts)).decode(), flush=True)
    os._exit(0)  # closing thousands of connections in order takes too long


if __name__ == "__main__":
    os.nice(_NICENESS)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    credentials = f"Basic {b64encode(sys.stdin.buffer.readline().strip()).decode()}"
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), credentials))
