"""Where the bytes of a stream go: to its client as they are, or compressed.

Thousands of streams send the same events, so what goes to many is compressed once. Each part is a run of DEFLATE blocks
that refers to nothing before it and ends at a byte (`Z_FULL_FLUSH`), so it can follow whatever the stream has sent. For
each stream, only the checksum and the length are kept, which end it (RFC 1952).
"""

import struct
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Final, NamedTuple, Protocol

from zlib_ng import zlib_ng

from pulp_api.front.direct import Direct, framed

GZIP: Final = "gzip"
_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, without a name, a time or an operating system."""
_LAST: Final = b"\x03\x00"
"""An empty last block."""
_LEVEL: Final = 1
_MOST_WAITING_BYTES: Final = 64 * 1024
_RECENT: Final = 128
_MOST_KEPT_BYTES: Final = 128 * 1024
"""How many compressed parts are kept, and of what size: streams that are behind send the same ones, a little later."""


class Compressed(NamedTuple):
    """A part of a stream."""

    data: bytes
    crc: int
    size: int
    """The size before compression, with the CRC-32."""


def compressed(data: bytes) -> Compressed:
    """A part that fits behind any other."""
    packer = zlib_ng.compressobj(_LEVEL, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS)
    packed = packer.compress(data) + packer.flush(zlib_ng.Z_FULL_FLUSH)
    return Compressed(packed, zlib_ng.crc32(data), len(data))


_recently = lru_cache(_RECENT)(compressed)


class SharedPart:
    """What is written to many clients in one go; made once for each way to send it."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    def __bool__(self) -> bool:
        return bool(self._chunks)

    @cached_property
    def plain(self) -> bytes:
        """With HTTP's framing."""
        return b"".join(map(framed, self._chunks))

    @cached_property
    def compressed(self) -> Compressed:
        """With HTTP's framing."""
        part = compressed(b"".join(self._chunks))
        return part._replace(data=framed(part.data))


class StreamOutlet(Protocol):
    """What a stream's bytes are given to."""

    @property
    def most_text_bytes(self) -> int:
        """About how much text to write at once, so that little waits in memory for a slow client."""

    def write(self, part: SharedPart) -> bool:
        """Write without waiting; False, and nothing is written, if that is not possible now."""

    async def send(self, data: bytes) -> None:
        """Send; waits while the client has not read what it was sent before."""

    async def finish(self) -> None:
        """Send what ends the stream."""


class PlainOutlet:
    """Sends the bytes unchanged."""

    __slots__ = ("_direct",)
    most_text_bytes = _MOST_WAITING_BYTES

    def __init__(self, direct: Direct) -> None:
        self._direct = direct

    def write(self, part: SharedPart) -> bool:
        """See `StreamOutlet`."""
        return self._direct.write(part.plain)

    async def send(self, data: bytes) -> None:
        """See `StreamOutlet`."""
        await self._direct.send(data)

    async def finish(self) -> None:
        """See `StreamOutlet`."""


class GzipOutlet:
    """Compressed. Something is sent before anything is written."""

    __slots__ = ("_crc", "_direct", "_head", "_size")
    most_text_bytes = 8 * _MOST_WAITING_BYTES  # many events are compressed to an eighth

    def __init__(self, direct: Direct) -> None:
        self._direct = direct
        self._head = _HEAD
        self._crc = self._size = 0

    def write(self, part: SharedPart) -> bool:
        """See `StreamOutlet`."""
        made = part.compressed
        if not self._direct.write(made.data):
            return False
        self._count(made)
        return True

    async def send(self, data: bytes) -> None:
        """See `StreamOutlet`."""
        made = _recently(data) if len(data) <= _MOST_KEPT_BYTES else compressed(data)
        head, self._head = self._head, b""
        self._count(made)
        await self._direct.send(head + made.data)

    async def finish(self) -> None:
        """See `StreamOutlet`."""
        await self._direct.send(self._head + _LAST + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def _count(self, made: Compressed) -> None:
        self._crc = zlib_ng.crc32_combine(self._crc, made.crc, made.size)
        self._size += made.size
