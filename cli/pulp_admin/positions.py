"""Positions in the log, written PARTITION:OFFSET. Pure."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class LogPosition(NamedTuple):
    """Where an event is in the log. `str` writes it as PARTITION:OFFSET."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "LogPosition":
        """The position that `str` wrote. Raises `ValueError` for any other text, as the server does."""
        partition, _, offset = text.partition(":")
        return cls(_number(partition, 2**31), _number(offset, 2**63))

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "LogPosition":
        """The position of an event that the server describes."""
        return cls(record["partition"], record["offset"])

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


def encode(positions: Mapping[int, int]) -> str:
    """The value of a header: a position for each partition."""
    return ",".join(str(LogPosition(*each)) for each in sorted(positions.items()))


def decode(header: str) -> dict[int, int]:
    """Partition → offset, from the value of a header; invalid positions are left out."""
    return _known(part.strip() for part in header.split(","))


def from_json(offsets: Mapping[str, object]) -> dict[int, int]:
    """Partition → offset, from a JSON object; invalid positions are left out."""
    return _known(f"{partition}:{offset}" for partition, offset in offsets.items())


def _known(texts: Iterable[str]) -> dict[int, int]:
    found: dict[int, int] = {}
    for text in texts:
        with contextlib.suppress(ValueError):
            position = LogPosition.parse(text)
            found[position.partition] = position.offset
    return found


def _number(digits: str, end: int) -> int:
    # `int` alone accepts signs, blanks, underscores and digits of other scripts.
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits) < end):
        raise ValueError(f"{digits!r} is not a number from 0 to {end - 1}")
    return int(digits)
