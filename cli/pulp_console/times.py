"""Times as people write them on a command line, and as both commands print them."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import click

FORMS: Final = "5m, 2h30m, 3d ago, today, yesterday, 2026-11-24 or 2026-11-24T12:00:00Z"
"""Examples of accepted times, for messages and help."""
_UNITS: Final = {
    "s": "seconds",
    "sec": "seconds",
    "second": "seconds",
    "m": "minutes",
    "min": "minutes",
    "minute": "minutes",
    "h": "hours",
    "hour": "hours",
    "d": "days",
    "day": "days",
    "w": "weeks",
    "week": "weeks",
}
_FIRST: Final = datetime(1, 1, 3)
_LAST: Final = datetime(9999, 12, 29)
_PART: Final = re.compile(r"(\d{1,9})\s*([a-z]+?)s?(?=[\d\s]|$)\s*")


def parse_time(text: str, now: datetime) -> datetime:
    """The time that a text names, with its zone. Raises `ValueError`.

    An age counts back from `now` (`5m`, `2h30m`, `3 days ago`). `now`, `today` and `yesterday` use the zone of `now`.
    Anything else is RFC 3339 or a date, in the zone of `now` unless it names one.
    """
    words = text.strip().lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if words in ("now", "today", "yesterday"):
        return {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}[words]
    age = duration_of(words.removesuffix("ago").strip())
    try:
        if age is not None:  # the exact duration, even if clocks change in between
            return (now.astimezone(UTC) - age).astimezone(now.tzinfo)
        # The zone's plus sign may have been turned into a blank.
        found = datetime.fromisoformat(re.sub(r"(\d:\d\d(?:\.\d+)?) (\d\d:?\d\d)$", r"\1+\2", text.strip()))
        zoned = found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
        zoned.astimezone(UTC)  # at the ends of the calendar there may be no such time
        return zoned
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is not a time: {FORMS} is expected") from None


class _LocalZone(tzinfo):
    """The zone of this machine with its rules for each day: the current offset is wrong for half of the year."""

    def utcoffset(self, time: datetime | None) -> timedelta | None:
        return None if time is None else _near(time).astimezone().utcoffset()

    def dst(self, time: datetime | None) -> timedelta | None:
        return None

    def tzname(self, time: datetime | None) -> str | None:
        return None if time is None else _near(time).astimezone().tzname()

    def fromutc(self, time: datetime) -> datetime:
        local = time.replace(tzinfo=UTC).astimezone()
        naive = local.replace(tzinfo=None)
        is_second = naive.astimezone().utcoffset() != local.utcoffset()  # of an hour that occurs twice
        return naive.replace(tzinfo=self, fold=int(is_second))


def _near(time: datetime) -> datetime:
    """The same time without a zone, moved away from the ends of the calendar, where Python would need days beyond."""
    return min(max(time.replace(tzinfo=None), _FIRST), _LAST)


_LOCAL: Final = _LocalZone()


def local_now() -> datetime:
    """Now, in the zone of this machine."""
    return datetime.now(_LOCAL)


def time_text(time: datetime | None) -> str:
    """A time as printed for people: RFC 3339 in UTC, to the second; `-` for none."""
    return "-" if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration_text(seconds: float) -> str:
    """A duration as printed for people: `0.4s`, `12s`, `3m05s`, `2h10m`, `4d03h`."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


class Time(click.ParamType):
    """A parameter of a command that is a time; its value is a `datetime` with its zone."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_time(value, local_now())
        except ValueError as error:
            return self.fail(str(error), param, ctx)


TIME: Final = Time()


def duration_of(words: str) -> timedelta | None:
    """The duration in words such as `90s`, `2h30m` or `7d`; None for anything else."""
    age, end = timedelta(), 0
    while match := _PART.match(words, end):
        unit = _UNITS.get(match[2])
        if unit is None:
            return None
        age += timedelta(**{unit: int(match[1])})
        end = match.end()
    return age if words and end == len(words) else None


class Duration(click.ParamType):
    """A parameter of a command that is a duration of at least a second; its value is in seconds."""

    name = "duration"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = duration_of(value.strip().lower())
        except OverflowError:
            found = None
        if found is None or found < timedelta(seconds=1):
            return self.fail(f"{value!r}: a duration is expected, such as 90s, 15m, 6h or 1d12h", param, ctx)
        return int(found.total_seconds())


DURATION: Final = Duration()
