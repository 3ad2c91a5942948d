"""A connection's output: what was written, and how much of it the client has read."""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, Final

from pulp_api.front.field_names import in_usual_case

LARGE_BYTES: Final = 65_536
_HEAD: Final = b"HTTP/1."
"""How the head of an answer begins."""
_END: Final = b"\r\n\r\n"
_ACKNOWLEDGED: Final = slice(120, 128)
"""`tcpi_bytes_acked` in Linux's `struct tcp_info`, which only grows at its end."""
_RESET: Final = struct.pack("ii", 1, 0)
_TCP_INFO: Final = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None


class Outlet:
    """The transport as the protocol writes to it. A close goes to the protocol, which knows what is still to come.

    uvicorn writes the head of an answer and its body one after the other. The head is held until the body follows, at
    the latest until the event loop's next turn, so that both are sent by one system call and as one packet. The names
    of fields, which uvicorn writes in lower case, get their usual one.
    """

    __slots__ = (
        "_head",
        "_is_ending",
        "_is_tls",
        "_loop",
        "_on_close",
        "_on_large",
        "_socket",
        "_transport",
        "written",
    )

    def __init__(
        self, transport: asyncio.Transport, on_close: Callable[[], None], on_large: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._socket = transport.get_extra_info("socket")
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._on_close: Callable[[], None] | None = on_close
        self._on_large: Callable[[], None] | None = on_large
        self._is_ending = False
        self.written = 0
        """Bytes of answers, without what TLS adds."""

    def write(self, data: bytes) -> None:
        """Send the data; ignored once the end of the stream was sent."""
        if self._is_ending:
            return
        self.written += len(data)
        is_head = data.startswith(_HEAD) and data.endswith(_END)
        if is_head:
            data = in_usual_case(data)
        if self._head:
            self._head, data = b"", self._head + data
        elif is_head:
            self._head = data
            self._loop.call_soon(self._send_head)
            return
        self._transport.write(data)
        if len(data) >= LARGE_BYTES and self._on_large is not None:
            self._on_large()

    def close(self) -> None:
        """End the connection, once the client can have the answer."""
        if self._on_close is not None:
            self._on_close()

    def forget(self) -> None:
        """Drop the reference to the protocol, so that neither waits for the garbage collector."""
        self._on_close = self._on_large = None
        self._head = b""

    def finish(self) -> None:
        """Close when all is sent."""
        self._send_head()
        self._transport.close()

    def abort(self) -> None:
        """Close at once, and discard what the client has not read, in the kernel too."""
        if self._socket.fileno() >= 0 and self.taken() < self.written:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._head = b""
        self._transport.abort()

    def end_writing(self) -> None:
        """Tell the client that nothing more comes, if the transport can; TLS cannot."""
        self._send_head()
        self._is_ending = True
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self._is_ending or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Stop reading from the client for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the client again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio."""
        return self._transport.get_extra_info(name, default)

    def taken(self) -> int:
        """Bytes that the client has acknowledged; if the kernel does not report that, bytes that the kernel has."""
        if self._socket.fileno() < 0:
            return self.written
        if self._is_tls and _TCP_INFO is not None:
            found = self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ACKNOWLEDGED.stop)
            acknowledged = int.from_bytes(found[_ACKNOWLEDGED], sys.byteorder)
            if acknowledged:
                return min(acknowledged, self.written)
        return self.written - len(self._head) - self._transport.get_write_buffer_size() - self._queued()

    def unsent(self) -> int:
        """Bytes that this process holds for the client, including what TLS has encrypted but not sent."""
        buffered = self._transport.get_write_buffer_size()
        return max(buffered, self.written - self.taken() - self._queued()) if self._is_tls else buffered

    def _send_head(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)

    def _queued(self) -> int:
        """Bytes that the kernel holds for the client."""
        if self._socket.fileno() < 0:
            return 0
        return int.from_bytes(ioctl(self._socket.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
