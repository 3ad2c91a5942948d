"""Durations between two times that the server reports to the second. Pure."""

from datetime import datetime

from pulp_console.times import duration_text


def time_of(text: object) -> datetime | None:
    """The time in a report; None if it has none."""
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def span_text(start: datetime | None, end: datetime | None) -> str:
    """`<1s`, `7s`, `3m05s`; `-` if one of the times is missing. Never negative, whatever the clocks say."""
    if start is None or end is None:
        return "-"
    seconds = max(0.0, (end - start).total_seconds())
    if seconds < 1:
        return "<1s"
    return f"{int(seconds)}s" if seconds < 10 else duration_text(seconds)
