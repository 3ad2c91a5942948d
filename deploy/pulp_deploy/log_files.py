"""The log files of a local stack: bounded in size, and shown as one, by time."""

import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

from pulp_deploy.files import open_file, open_folder

SUPERVISOR_LOG: Final = "supervisor.log"
MOST_BYTES: Final = 10_000_000
"""The largest size of a log; one older file of the same size is kept."""
_ERROR: Final = 2
_POSTGRES: Final = re.compile(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3}) UTC ")
_TIME: Final = re.compile(r'^(?:time=|\{"time": ")?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)')


_TRACEBACK: Final = re.compile(r' traceback=("(?:[^"\\]|\\.)*")$')


class Line(NamedTuple):
    """One line of a log. Lines without their own time, such as those of a traceback, have that of the line before."""

    at: str
    name: str
    text: str


def for_people(text: str) -> list[str]:
    """The lines of one: a traceback, which is a field at the end in logfmt, stands below it as Python prints it."""
    found = _TRACEBACK.search(text)
    if found is None:
        return [text]
    try:
        frames = json.loads(found[1]).splitlines()
    except ValueError:  # a line of another program, which writes such a field in its own way
        return [text]
    return [text[: found.start()], *frames]


def bound_own(log: Path, most_bytes: int = MOST_BYTES) -> bool:
    """Move our own log to `LOG.1` if it has grown too large and is our standard error; whether that was done.

    Raises OSError and `NotOurs`, and goes on in the old file then.
    """
    try:
        found = log.lstat()
    except FileNotFoundError:
        return False
    if found.st_size <= most_bytes or not os.path.samestat(found, os.fstat(_ERROR)):
        return False
    with open_folder(log.parent) as folder:
        os.rename(log.name, rotated(log).name, src_dir_fd=folder, dst_dir_fd=folder)
    fresh = open_file(log, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    os.dup2(fresh, _ERROR, inheritable=True)
    os.close(fresh)
    return True


def rotated(log: Path) -> Path:
    """The file with the older lines of a log."""
    return log.with_name(f"{log.name}.1")


class Place(NamedTuple):
    """How far a log was read: the file and the offset."""

    inode: int
    offset: int


def last_lines(files: Mapping[str, Path], count: int) -> tuple[list[Line], dict[str, Place]]:
    """The last lines of each log, merged by their times, and where each log ended. Raises `NotOurs`."""
    found: list[Line] = []
    ends: dict[str, Place] = {}
    for name, path in files.items():
        texts: deque[bytes] = deque(maxlen=count)
        with _reading(path) as file:
            here = os.fstat(file.fileno())
            if here.st_size < MOST_BYTES // 10:
                with suppress(FileNotFoundError), _reading(rotated(path)) as before:
                    texts.extend(line.rstrip(b"\n") for line in before)
            texts.extend(line.rstrip(b"\n") for line in file)
            ends[name] = Place(here.st_ino, file.tell())
        found += timed(name, texts)
    return sorted(found, key=lambda line: line.at), ends  # stable: a traceback stays behind its line


def follow(files: Mapping[str, Path], ends: dict[str, Place]) -> Iterator[list[Line]]:
    """Follow the logs from `ends` on, merged by time, forever."""
    while True:
        yield sorted(
            (line for name, path in files.items() for line in timed(name, _written(name, path, ends))),
            key=lambda line: line.at,
        )
        time.sleep(0.3)


def timed(name: str, texts: "deque[bytes] | list[bytes]") -> Iterator[Line]:
    """The lines with their times; PostgreSQL's lines converted to the common format."""
    at = ""
    for raw in texts:
        text = _POSTGRES.sub(r"\1T\2Z ", raw.decode(errors="replace"))
        seen = _TIME.match(text)
        at = seen[1] if seen else at
        yield Line(at, name, text)


def _written(name: str, path: Path, ends: dict[str, Place]) -> list[bytes]:
    lines: list[bytes] = []
    try:
        with _reading(path) as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != ends[name].inode:  # it was rotated
                lines += _rest(rotated(path), ends[name])
                ends[name] = Place(inode, 0)
            lines += _lines_from(file, name, ends)
    except FileNotFoundError:  # it is being rotated, or was removed
        return []
    return lines


def _lines_from(file: IO[bytes], name: str, ends: dict[str, Place]) -> Iterator[bytes]:
    place = ends[name]
    file.seek(place.offset)
    for line in file:
        if not line.endswith(b"\n"):
            break  # an incomplete line: the rest follows
        place = place._replace(offset=place.offset + len(line))
        yield line.rstrip(b"\n")
    ends[name] = place


def _rest(path: Path, place: Place) -> list[bytes]:
    """The rest of a file that was rotated since; nothing if it was rotated more than once."""
    with suppress(FileNotFoundError), _reading(path) as file:
        if os.fstat(file.fileno()).st_ino == place.inode:
            file.seek(place.offset)
            return [line.rstrip(b"\n") for line in file]
    return []


def _reading(path: Path) -> IO[bytes]:
    return os.fdopen(open_file(path, os.O_RDONLY), "rb")
