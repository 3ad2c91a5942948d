"""The pause that a server asks for. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def asked_pause_s(retry_after: str, now: datetime | None = None) -> float | None:
    """The delay that a `Retry-After` requests, as seconds or as a date; None for anything else."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
