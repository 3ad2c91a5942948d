"""The process that writes the logs of a stack: it reads the other processes' output from pipes and bounds the files.

`python -m pulp_deploy.local.log_writer DESCRIPTOR`: a socket to the supervisor, which sends requests, each with the
name of a log and the pipe to read it from, or without either to ask for a flush. It
outlives the supervisor for as long as somebody has a pipe open. When it cannot write, as on a full disk, it drops and
counts lines, so no process blocks.
"""

import errno
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pulp_deploy.errors import NotOurs
from pulp_deploy.files import open_file, open_folder
from pulp_deploy.log_files import MOST_BYTES, rotated

_CHUNK: Final = 1 << 16
_MOST_CHUNKS: Final = 32
_GATHER_S: Final = 0.02
"""Collects lines for this long, since waking up for each line costs more than writing it."""
DONE: Final = b"."


class Log:
    """One log file, which is moved to `LOG.1` before it grows too large."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._file: int | None = None
        self._size = 0
        self._is_mid_line = False
        self._lost_lines = 0
        self._why = ""

    def write(self, data: bytes) -> None:
        """Append the text, keeping lines whole; count lines that cannot be written."""
        try:
            self._open()
            if self._lost_lines:
                self._append(self._excuse())
                self._lost_lines = 0
            if self._size + len(data) > self._most_bytes:
                end = data.rfind(b"\n") + 1
                data = self._append(data[:end]) or data[end:]
                self._move_aside()
            data = self._append(data)
        except (OSError, NotOurs) as error:
            self._lost_lines += max(1, data.count(b"\n"))
            self._why = getattr(error, "strerror", None) or str(error)

    def _open(self) -> None:
        """Open the file, again if it was moved or replaced."""
        if self._file is not None:
            mine = os.fstat(self._file)
            with suppress(FileNotFoundError):
                if os.path.samestat(mine, self._path.lstat()):
                    return
            os.close(self._file)
            self._file = None
        self._file = open_file(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._size = os.fstat(self._file).st_size

    def _append(self, data: bytes) -> bytes:
        """Write everything, or raise."""
        assert self._file is not None
        while data:
            written = os.write(self._file, data)
            self._size += written
            self._is_mid_line = data[written - 1 : written] != b"\n"
            data = data[written:]
        return data

    def _move_aside(self) -> None:
        if not self._size:
            return
        with open_folder(self._path.parent) as folder:
            os.rename(self._path.name, rotated(self._path).name, src_dir_fd=folder, dst_dir_fd=folder)
        self._open()

    def _excuse(self) -> bytes:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        end = "\n" if self._is_mid_line else ""
        line = f"{end}time={at} level=WARNING logger=pulp.logs msg=lines-were-lost lines={self._lost_lines}"
        return f"{line} error={json.dumps(self._why)}\n".encode()


class Writer:
    """All logs, until no process writes to them any more."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._logs: dict[int, Log] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Returns when the supervisor has gone, and all pipes are closed."""
        while self._selector.get_map():
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._control in ready:
                self._answer()
                continue
            time.sleep(_GATHER_S)
            for pipe in ready:
                assert isinstance(pipe, int)
                self._empty(pipe)

    def _answer(self) -> None:
        try:
            request, pipes, _, _ = socket.recv_fds(self._control, _CHUNK, 1)
        except OSError:
            request = b""
        if not request:
            self._selector.unregister(self._control)
            self._control.close()
            return
        for pipe in pipes:
            os.set_blocking(pipe, False)
            self._logs[pipe] = Log(Path(os.fsdecode(request)))
            self._selector.register(pipe, selectors.EVENT_READ)
        if not pipes:
            for pipe in list(self._logs):
                self._empty(pipe)
        with suppress(OSError):
            self._control.send(DONE)

    def _empty(self, pipe: int) -> None:
        """Write what is in the pipe, with a bound in case a process keeps adding."""
        for _ in range(_MOST_CHUNKS):
            if not self._pass_on(pipe):
                return

    def _pass_on(self, pipe: int) -> bool:
        """Write what is in a pipe; returns whether there may be more."""
        try:
            data = os.read(pipe, _CHUNK)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return False
            data = b""
        if data:
            self._logs[pipe].write(data)
            return len(data) == _CHUNK
        self._selector.unregister(pipe)
        os.close(pipe)
        del self._logs[pipe]
        return False


def main() -> None:
    """Run until all pipes are closed, ignoring the terminal's signals."""
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    Writer(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
