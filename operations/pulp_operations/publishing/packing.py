"""Compressing metadata files: equal content gives equal bytes, under a name that contains their checksum."""

import hashlib
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from msgspec import Struct

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Compression = Literal["none", "gzip", "zstd"]
SUFFIXES: Final[dict[Compression, str]] = {"none": "", "gzip": ".gz", "zstd": ".zst"}
REPODATA: Final = "repodata"
_GZIP_LEVEL: Final = 6
_GZIP_HEADER: Final = 31
"""zlib's window bits for gzip. zlib writes neither a time nor a name into the header."""
_ZSTD_LEVEL: Final = 9
_CHUNK_BYTES: Final = 1 << 20


class Entry(Struct, frozen=True, kw_only=True):
    """A metadata file of a publication, as repomd.xml describes it. Files that are not packed have no open checksum."""

    type: str
    href: str
    algorithm: str = "sha256"
    checksum: str
    size_bytes: int
    open_checksum: str | None = None
    open_size_bytes: int | None = None


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Plain:
    """A compressor that does not change the content."""

    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _compressor(compression: Compression) -> _Compressor:
    if compression == "gzip":
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_HEADER)
    if compression == "zstd":
        options = {
            int(zstd.CompressionParameter.compression_level): _ZSTD_LEVEL,
            int(zstd.CompressionParameter.checksum_flag): 1,
        }
        return zstd.ZstdCompressor(options=options)
    return _Plain()


class Packer(AbstractContextManager["Packer"]):
    """Writes one metadata file; removes it if the block ends with an error."""

    def __init__(self, folder: Path, *, type: str, name: str, compression: Compression) -> None:
        """`folder` is the publication; `name` is the file's without checksum and suffix, such as `primary.xml`."""
        self._folder = folder / REPODATA
        self._type, self._name, self._compression = type, f"{name}{SUFFIXES[compression]}", compression
        self._compressor = _compressor(compression)
        self._open_digest, self._digest = hashlib.sha256(), hashlib.sha256()
        self._open_bytes = self._bytes = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        self._draft = self._folder / f"{self._type}.part"

    def __enter__(self) -> Self:
        self._file = self._draft.open("xb")
        return self

    def write(self, content: bytes) -> None:
        """Append to the uncompressed content."""
        self._open_digest.update(content)
        self._open_bytes += len(content)
        self._put(self._compressor.compress(content))

    def finish(self) -> Entry:
        """Complete the file and give it its name."""
        self._put(self._compressor.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        checksum = self._digest.hexdigest()
        name = f"{checksum}-{self._name}"
        self._draft.replace(self._folder / name)
        is_packed = self._compression != "none"
        return Entry(
            type=self._type,
            href=f"{REPODATA}/{name}",
            checksum=checksum,
            size_bytes=self._bytes,
            open_checksum=self._open_digest.hexdigest() if is_packed else None,
            open_size_bytes=self._open_bytes if is_packed else None,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._draft.unlink(missing_ok=True)

    def _put(self, packed: bytes) -> None:
        if packed:
            self._digest.update(packed)
            self._bytes += len(packed)
            self._file.write(packed)


def pack(chunks: Iterable[bytes], folder: Path, *, type: str, name: str, compression: Compression) -> Entry:
    """Write a metadata file from the pieces of its open content."""
    with Packer(folder, type=type, name=name, compression=compression) as packer:
        for chunk in chunks:
            packer.write(chunk)
        return packer.finish()


def opened(path: Path) -> Iterator[bytes]:
    """The content of one of our own files, which zstd has packed, in pieces."""
    with zstd.open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
