"""Times in requests: one reading for every parameter that takes one. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from pulp_events.errors import BadInput

_LOST_PLUS: Final = re.compile(r"(\d{4}-?\d\d-?\d\d[T ]\d\d[\d:.]*) (\d\d(?::?\d\d)?)(?![\d:-])")


def with_plus(text: str) -> str:
    """The text with the plus sign of each time in it: one that was not quoted in a URL arrives as a blank."""
    return _LOST_PLUS.sub(r"\1+\2", text)


def time_of(text: str) -> datetime | None:
    """The time that an ISO 8601 text means, in UTC if it names a zone; None if it means none that can be used."""
    try:
        time = datetime.fromisoformat(with_plus(text.strip()))
        return time if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # a zone can lead out of the years that a datetime holds
        return None


def zoned_time(name: str, text: str) -> datetime:
    """The time in the parameter of this name, which has to say its zone. Raises `BadInput`."""
    time = time_of(text)
    if time is None or time.tzinfo is None:
        raise BadInput(f"{name}={text}: a time with its zone is expected, such as 2026-11-24T12:00:00Z")
    return time
