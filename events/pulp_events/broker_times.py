"""Brokers' times: milliseconds since 1970 in UTC, as the log and `Task` have them. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final, overload

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_000
_INEXACT_MS: Final = 2**33 * 1000
"""From then on, in the year 2242, a float of seconds does not determine the microsecond."""


def clamped_ms(timestamp_ms: int) -> int:
    """The nearest time that every reader can represent: in a topic with producers' timestamps any number can occur."""
    return min(max(timestamp_ms, 0), _LAST_MS)


@overload
def moment(timestamp_ms: int) -> datetime: ...
@overload
def moment(timestamp_ms: int | None) -> datetime | None: ...
def moment(timestamp_ms: int | None) -> datetime | None:
    """The time as a datetime in UTC, to the millisecond; None stays None. Takes times that `clamped_ms` returns."""
    if timestamp_ms is None:
        return None
    if timestamp_ms < _INEXACT_MS:  # with a float it takes half of the time
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return _EPOCH + timedelta(milliseconds=timestamp_ms)


def broker_time(timestamp_ms: int) -> datetime:
    """The time of a record, whatever number the record has."""
    return moment(clamped_ms(timestamp_ms))
