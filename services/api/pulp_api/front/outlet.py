"""Where a connection's answers go: what was written, and how much of it the client has taken."""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, Final

LARGE_BYTES: Final = 65_536
_ACKNOWLEDGED: Final = slice(120, 128)
"""`tcpi_bytes_acked` in Linux's `struct tcp_info`, which only grows at its end."""
_RESET: Final = struct.pack("ii", 1, 0)
_TCP_INFO: Final = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None


class Outlet:
    """The transport as the protocol writes to it. A close goes to the protocol, which knows what is still to come."""

    __slots__ = ("_is_ending", "_is_tls", "_on_close", "_on_large", "_socket", "_transport", "written")

    def __init__(
        self, transport: asyncio.Transport, on_close: Callable[[], None], on_large: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._on_close: Callable[[], None] | None = on_close
        self._on_large: Callable[[], None] | None = on_large
        self._is_ending = False
        self.written = 0
        """Bytes of answers, without what TLS adds."""

    def write(self, data: bytes) -> None:
        """Send when the client takes it; nothing, where it was told that nothing more comes."""
        if self._is_ending:
            return
        self.written += len(data)
        self._transport.write(data)
        if len(data) >= LARGE_BYTES and self._on_large is not None:
            self._on_large()

    def close(self) -> None:
        """End the connection, once the client can have the answer."""
        if self._on_close is not None:
            self._on_close()

    def forget(self) -> None:
        """The connection has ended: let go of the protocol, so that neither waits for the garbage collector."""
        self._on_close = self._on_large = None

    def finish(self) -> None:
        """Close when all is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what the client has not taken is thrown away, by the kernel too."""
        if self._socket.fileno() >= 0 and self.taken() < self.written:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def end_writing(self) -> None:
        """Tell the client that nothing more comes, where the transport can do that: TLS cannot."""
        self._is_ending = True
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self._is_ending or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Take nothing from the client for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take what the client sends."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio."""
        return self._transport.get_extra_info(name, default)

    def taken(self) -> int:
        """Bytes that the client has; where the kernel does not tell, those that the kernel has."""
        if self._socket.fileno() < 0:
            return self.written
        if self._is_tls and _TCP_INFO is not None:
            found = self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ACKNOWLEDGED.stop)
            acknowledged = int.from_bytes(found[_ACKNOWLEDGED], sys.byteorder)
            if acknowledged:
                return min(acknowledged, self.written)
        return self.written - self._transport.get_write_buffer_size() - self._queued()

    def unsent(self) -> int:
        """Bytes that this process holds for the client. TLS hides from its transport what it has encrypted already."""
        buffered = self._transport.get_write_buffer_size()
        return max(buffered, self.written - self.taken() - self._queued()) if self._is_tls else buffered

    def _queued(self) -> int:
        """Bytes that the kernel holds for the client."""
        if self._socket.fileno() < 0:
            return 0
        return int.from_bytes(ioctl(self._socket.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
