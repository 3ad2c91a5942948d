"""Unpacking files of metadata within bounds: each piece is counted before it is written."""

import bz2
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from pulp_worker import LimitExceeded

from pulp_operations.foreign import bad_repository

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE: Final = 256 * 1024
_SMALL_BYTES: Final = 16 * 1024 * 1024
"""Below this size the ratio is not checked."""
_XZ_MEMORY_BYTES: Final = 128 * 1024 * 1024
_ZSTD_WINDOW_LOG: Final = 27
_FAULTS: Final = (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, zstd.ZstdError)


class _Decompressor(Protocol):
    """The common interface of Python's decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's decompressor, with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def unpack(source: Path, target: Path, *, what: str, most_bytes: int, most_ratio: int) -> None:
    """Unpack the file into a new file. Its first bytes show the compression.

    Raises `LimitExceeded` for more than `most_bytes`, or more than `most_ratio` times the file's size, and
    `OperationError` (`bad-repository`) for a file that cannot be unpacked, or is neither packed nor XML. `what` names
    the file in errors.
    """
    with target.open("xb") as plain:
        for piece in unpacked_pieces(source, what=what, most_bytes=most_bytes, most_ratio=most_ratio):
            plain.write(piece)


def unpacked_pieces(
    source: Path, *, what: str, most_bytes: int, most_ratio: int, promised_bytes: int | None = None, is_xml: bool = True
) -> Iterator[bytes]:
    """The unpacked content of the file, in pieces; each is counted before it is yielded. Raises as `unpack` does.

    `promised_bytes` is the size in repomd.xml: more is refused as well, except for small files. `is_xml`: a file
    that is not packed must begin as XML does.
    """
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as packed:
        allowed_bytes = min(most_bytes, max(_SMALL_BYTES, most_ratio * os.fstat(descriptor).st_size))
        setting = "PULP_FETCH_UNPACKED_BYTES, PULP_FETCH_UNPACKED_RATIO"
        if promised_bytes and max(promised_bytes, _SMALL_BYTES) < allowed_bytes:
            allowed_bytes, setting = max(promised_bytes, _SMALL_BYTES), "open-size in repomd.xml"
        size_bytes = 0
        for piece in _pieces(packed, what, is_xml=is_xml):
            size_bytes += len(piece)
            if size_bytes > allowed_bytes:
                raise LimitExceeded(f"{what} becomes larger than {allowed_bytes} bytes when it is unpacked ({setting})")
            yield piece


def _pieces(packed: BinaryIO, what: str, *, is_xml: bool) -> Iterator[bytes]:
    data = packed.read(_PIECE)
    is_plain = data.lstrip()[:1] == b"<" or data.startswith((b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"))
    if is_plain or (not is_xml and _decompressor(data) is None):
        while data:
            yield data
            data = packed.read(_PIECE)
        return
    try:
        while data:
            decompressor = _decompressor(data)
            if decompressor is None:
                raise bad_repository(f"{what} is neither XML nor packed with gzip, bzip2, xz or zstd")
            while not decompressor.eof:
                plain = decompressor.decompress(data, _PIECE)
                yield plain
                data = packed.read(_PIECE) if decompressor.needs_input and not decompressor.eof else b""
                if not (plain or data or decompressor.eof):
                    raise bad_repository(f"{what} cannot be unpacked: it ends too early")
            data = (decompressor.unused_data + packed.read(_PIECE)).lstrip(b"\0")  # the next member, or padding
    except _FAULTS:
        raise bad_repository(f"{what} cannot be unpacked") from None


def _decompressor(head: bytes) -> _Decompressor | None:
    if head.startswith(b"\x1f\x8b"):
        return _Gzip()
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
        return zstd.ZstdDecompressor(options=options)
    return None
