"""The log files of a local stack: bounded in size, and shown as one, by time."""

import os
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

MOST_BYTES: Final = 10_000_000
"""Of a log; as much again is kept of what was before it."""
_POSTGRES: Final = re.compile(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3}) UTC ")
_TIME: Final = re.compile(r'^(?:time=|\{"time": ")?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)')


class Line(NamedTuple):
    """One line of a log. Lines without a time of their own, as those of a traceback, have that of the line before."""

    at: str
    name: str
    text: str


def bound(log: Path, most_bytes: int = MOST_BYTES) -> bool:
    """Move what is in a log that has grown too large to `LOG.1`, whoever writes to it; whether that was done.

    The writers append, so they go on at the new end. On a full disk the old lines are dropped.
    """
    if log.stat().st_size <= most_bytes:
        return False
    before = rotated(log)
    aside = before.with_suffix(".new")
    try:
        shutil.copyfile(log, aside)
        aside.chmod(0o600)
        aside.replace(before)
    except OSError:
        aside.unlink(missing_ok=True)
    os.truncate(log, 0)
    return True


def rotated(log: Path) -> Path:
    """Where the lines are that were in a log before it grew too large."""
    return log.with_name(f"{log.name}.1")


def last_lines(files: Mapping[str, Path], count: int) -> tuple[list[Line], dict[str, int]]:
    """The last lines of each log, merged by their times, and where each log ended."""
    found: list[Line] = []
    ends: dict[str, int] = {}
    for name, path in files.items():
        texts: deque[bytes] = deque(maxlen=count)
        if rotated(path).exists() and path.stat().st_size < MOST_BYTES // 10:
            texts.extend(rotated(path).read_bytes().splitlines())
        with path.open("rb") as file:
            texts.extend(line.rstrip(b"\n") for line in file)
            ends[name] = file.tell()
        found += timed(name, texts)
    return sorted(found, key=lambda line: line.at), ends  # stable: a traceback stays behind its line


def follow(files: Mapping[str, Path], ends: dict[str, int]) -> Iterator[list[Line]]:
    """What is written from `ends` on, now and then, merged by time; without end."""
    while True:
        yield sorted(
            (line for name, path in files.items() for line in timed(name, _written(name, path, ends))),
            key=lambda line: line.at,
        )
        time.sleep(0.3)


def timed(name: str, texts: "deque[bytes] | list[bytes]") -> Iterator[Line]:
    """The lines with their times; PostgreSQL's, which it cannot write so itself, in the form of all others."""
    at = ""
    for raw in texts:
        text = _POSTGRES.sub(r"\1T\2Z ", raw.decode(errors="replace"))
        seen = _TIME.match(text)
        at = seen[1] if seen else at
        yield Line(at, name, text)


def _written(name: str, path: Path, ends: dict[str, int]) -> list[bytes]:
    lines: list[bytes] = []
    with path.open("rb") as file:
        if path.stat().st_size < ends[name]:
            ends[name] = 0  # it had grown too large, and began anew
        file.seek(ends[name])
        for line in file:
            if not line.endswith(b"\n"):
                break  # half a line: the rest comes
            ends[name] += len(line)
            lines.append(line.rstrip(b"\n"))
    return lines
