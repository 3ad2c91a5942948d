"""Connections to checked addresses: the HTTP client's replacement for the operating system's resolver."""

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, Final

import httpcore

from pulp_runtime.outgoing.rules import Destinations, Refused, literal

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, in the order in which they are tried. Raises `OSError` if there are none."""

_CONNECT: Final = (httpcore.ConnectError, httpcore.ConnectTimeout)


class NoSuchName(Exception):
    """The name of a host has no address."""


class NotConnected(Exception):
    """No connection could be made."""


class NoAnswer(Exception):
    """The connection works, but no answer comes in time."""


class HeadTooLarge(Exception):
    """The head of an answer, with everything before it, is too large."""


class HeadBudget:
    """How many bytes may still come before the head of an answer is complete."""

    def __init__(self, left_bytes: int) -> None:
        self._left_bytes = left_bytes

    def take(self, size_bytes: int) -> None:
        """Raises `HeadTooLarge`."""
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise HeadTooLarge


HEAD: Final[ContextVar[HeadBudget | None]] = ContextVar("pulp-outgoing-head", default=None)
"""Set while an answer's head is awaited: interim answers may come without an end."""


async def resolve(host: str, port: int) -> list[str]:
    """As the operating system does it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a host once, refuses it unless the rules allow all of its addresses, and connects to one of those."""

    def __init__(self, rules: Destinations, lookup: Resolve, backend: httpcore.AsyncNetworkBackend) -> None:
        self._rules, self._lookup, self._backend = rules, lookup, backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # as httpcore calls it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises `Refused` before anything is sent, `NoSuchName` and `NotConnected`."""
        self._rules.check_host(host, port)
        addresses = await self._addresses(host, port, timeout)
        for address in addresses:
            self._rules.check_address(host, ip_address(address))
        for address in addresses:
            patience_s = None if timeout is None else timeout / len(addresses)
            try:
                stream = await self._backend.connect_tcp(address, port, patience_s, local_address, socket_options)
            except _CONNECT:
                continue
            return _Counted(stream)
        raise NotConnected

    async def _addresses(self, host: str, port: int, patience_s: float | None) -> list[str]:
        address = literal(host)
        if address is not None:
            return [str(address)]
        try:
            async with asyncio.timeout(patience_s):
                found = await self._lookup(host, port)
        except (OSError, UnicodeError, TimeoutError):
            raise NoSuchName from None
        if not found:
            raise NoSuchName
        return found

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """No URL leads here."""
        raise Refused("socket")

    async def sleep(self, seconds: float) -> None:
        """See `AsyncNetworkBackend`."""
        await asyncio.sleep(seconds)


class ProxyNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the proxy, which the operator has named: wherever it is. Raises `NotConnected`."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        """See `AsyncNetworkBackend`."""
        try:
            return _Counted(await self._backend.connect_tcp(*arguments, **named))
        except _CONNECT:
            raise NotConnected from None

    async def sleep(self, seconds: float) -> None:
        """See `AsyncNetworkBackend`."""
        await asyncio.sleep(seconds)


class _Counted(httpcore.AsyncNetworkStream):
    """Subtracts the bytes read from the budget of the awaited head."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        received = await self._stream.read(max_bytes, timeout)
        budget = HEAD.get()
        if budget is not None:
            budget.take(len(received))
        return received

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        return _Counted(await self._stream.start_tls(*arguments, **named))

    def get_extra_info(self, info: str) -> Any:
        # The pool checks each idle connection before each request; checking the socket directly takes a tenth of the
        # time.
        if info == "is_readable" and self._socket is not None:
            return _is_readable(self._socket)
        return self._stream.get_extra_info(info)


def _is_readable(connected: socket.socket) -> bool:
    """Whether there is data or the end of the stream to read: then an idle connection cannot be used again."""
    descriptor = connected.fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
