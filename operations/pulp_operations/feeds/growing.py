"""A file that grows while it is fetched: it is hashed on the way, and kept once it is complete.

Received bytes are held in memory and written to the disk in large pieces. A small file needs one call in a thread,
which writes, compares, flushes and moves it into place.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

from pulp_worker.fetching import FetchFailed

from pulp_operations.feeds.received import Differs

T = TypeVar("T")
_HELD_BYTES: Final = 256 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_OWN_ALGORITHM: Final = "sha256"


class Growing:
    """One download into a partial file. `size_bytes`, `algorithm` and `checksum` are None if unknown."""

    def __init__(
        self,
        partial: Path,
        *,
        called: str,
        size_bytes: int | None,
        algorithm: str | None,
        checksum: str | None,
        is_durable: bool = True,
        described_in: str = "the metadata",
    ) -> None:
        """`called` names it in errors, `described_in` the document with its size and checksum. `is_durable`: it is on
        the disk before it is kept.
        """
        self._partial, self.called = partial, called
        self.size_bytes = size_bytes
        self.algorithm, self.checksum = algorithm or _OWN_ALGORITHM, checksum
        self._is_durable = is_durable
        self.described_in = described_in
        self._digest = hashlib.new(self.algorithm, usedforsecurity=False)
        self._file: FileIO | None = None
        self._is_resumed = False
        self._held = bytearray()
        self._written_bytes = 0
        self.validator: tuple[str, str] | None = None
        """The URL that the bytes came from, and the validator of their state."""

    @property
    def have_bytes(self) -> int:
        """Bytes received so far."""
        return self._written_bytes + len(self._held)

    @property
    def is_short(self) -> bool:
        """Whether bytes are missing, as far as the size is known."""
        return self.size_bytes is None or not 0 < self.size_bytes <= self.have_bytes

    @property
    def hexdigest(self) -> str:
        """The checksum of the kept file."""
        return self._digest.hexdigest()

    async def resume(self) -> None:
        """Resume from what an earlier task left in the partial file."""
        await _in_thread(self._resume)

    async def add(self, piece: bytes) -> None:
        """Append received bytes."""
        self._held += piece
        if len(self._held) >= _HELD_BYTES:
            await _in_thread(self._flush)

    async def restart(self) -> None:
        """Discard the bytes received so far."""
        self.validator = None
        self._held.clear()
        if self._file is not None:
            await _in_thread(self._empty)

    async def finish(self, keep: Callable[[Path], None]) -> None:
        """Keep the file; `keep` moves it away. Raises `FetchFailed`, which may be retried, if it ends too early.

        Drops a wrong file, and raises `Differs`.
        """
        await _in_thread(self._finish, keep)

    def close(self) -> None:
        """Leave the received bytes to the next task, which resumes from them."""
        with contextlib.suppress(FetchFailed, OSError):  # otherwise the next task fetches the whole file
            if self._held:
                self._flush()
        self._held.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _finish(self, keep: Callable[[Path], None]) -> None:
        if self.size_bytes is not None and self.have_bytes < self.size_bytes:
            text = f"{self.called}: the connection ended after {self.have_bytes} of {self.size_bytes} bytes"
            raise FetchFailed(text, is_transient=True)
        file = self._flush()
        is_right = self.size_bytes in (None, self.have_bytes) and self.checksum in (None, self._digest.hexdigest())
        if not is_right:
            self._empty()
            raise Differs(f"{self.called} is not what {self.described_in} says: its size or {self.algorithm} differs")
        if self._is_durable:
            os.fsync(file.fileno())  # the store recognises a complete file by its size alone
        keep(self._partial)
        file.close()
        self._file = None

    def _resume(self) -> None:
        self._is_resumed = True
        file = self._open()
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            self._digest.update(chunk)
            self._written_bytes += len(chunk)
        if self.size_bytes is not None and self._written_bytes > self.size_bytes:
            self._empty()

    def _flush(self) -> FileIO:
        file = self._open()
        self._digest.update(self._held)
        rest = memoryview(bytes(self._held))
        while rest:
            rest = rest[file.write(rest) :]
        self._written_bytes += len(self._held)
        self._held.clear()
        return file

    def _empty(self) -> None:
        self._open().truncate(0)
        self._written_bytes = 0
        self._digest = hashlib.new(self.algorithm, usedforsecurity=False)

    def _open(self) -> FileIO:
        """The partial file, locked for this task: one that counts as lost may still write it."""
        if self._file is None:
            self._file = self._locked()
            if not self._is_resumed and self._file.tell():
                self._file.truncate(0)
        return self._file

    def _locked(self) -> FileIO:
        try:
            file = self._partial.open("a+b", buffering=0)
        except FileNotFoundError:
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            file = self._partial.open("a+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(file.fileno()), self._partial.stat())
        except (BlockingIOError, FileNotFoundError):
            is_there = False
        if not is_there:
            file.close()
            raise FetchFailed(f"{self.called} is being fetched by another task", is_transient=True)
        return file


async def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Run it to its end even if the task is cancelled: until then no other task may touch the file."""
    future = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        future.exception()
        raise
