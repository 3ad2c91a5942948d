"""Parses the times in requests. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from pulp_events.errors import BadInput

_LOST_PLUS: Final = re.compile(r"(\d{4}-?\d\d-?\d\d[T ]\d\d[\d:.]*) (\d\d(?::?\d\d)?)(?![\d:-])")


def with_plus(text: str) -> str:
    """Restore the plus sign in the times of a text: unless it is quoted in a URL, it arrives as a blank."""
    return _LOST_PLUS.sub(r"\1+\2", text)


def time_of(text: str) -> datetime | None:
    """Parse an ISO 8601 text, to UTC if it names a zone; None if it is not a usable time."""
    try:
        time = datetime.fromisoformat(with_plus(text.strip()))
        return time if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # a zone can move a time out of the range of datetime
        return None


def zoned_time(name: str, text: str) -> datetime:
    """Parse the parameter `name`, which must name its zone. Raises `BadInput`."""
    time = time_of(text)
    if time is None or time.tzinfo is None:
        raise BadInput(f"{name}={text}: a time with its zone is expected, such as 2026-11-24T12:00:00Z")
    return time
