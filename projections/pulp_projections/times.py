"""Brokers' times, and times in messages."""

from datetime import UTC, datetime

from pulp_events.broker_times import clamped_ms, moment

__all__ = ["clamped_ms", "instant", "moment"]


def instant(time: datetime) -> str:
    """The time as messages give it: RFC 3339 in UTC, to the millisecond."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
