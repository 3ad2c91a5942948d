"""When a schedule's ticks are. Pure.

A cron expression is read as Debian's cron reads it, in the time zone of the schedule. When clocks go forward, a tick at
a fixed time that does not exist is at the next time that does; when they go back, it comes once, at the first of the
two. A tick of every hour or minute (a field that begins with `*`) follows elapsed time through both.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pulp_events.errors import BadInput
from pulp_events.schedule import Schedule
from pulp_events.schedule_events import Definition

_FIELDS: Final = 5
"""The number of fields of a cron expression. The library also takes a sixth, for seconds."""
_LOCAL_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})
"""Files next to the time zones that differ from machine to machine: two schedulers would tick at different times."""
_LEAP_ZONES: Final = "right/"
"""Time zones whose clocks count leap seconds, as no other clock here does."""
MOST_COUNTED: Final = 1000
"""The most missed ticks that are counted; a larger number counts as this one."""


class BadTimes(BadInput):
    """A definition's times cannot be used. `field` is the field that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check_times(definition: Definition) -> None:
    """Raises `BadTimes` for an unknown time zone, or a cron expression that is wrong or never comes."""
    _zone(definition)
    if definition.time_zone in _LOCAL_ZONES or definition.time_zone.startswith(_LEAP_ZONES):
        raise _no_zone(definition)
    if definition.cron is None:
        return
    from cronsim import CronSim, CronSimError  # here, since every worker loads this module

    if (count := len(definition.cron.split())) != _FIELDS:
        raise _no_cron(definition.cron, f"the number of its fields is {count}")
    try:
        next(CronSim(definition.cron, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise _no_cron(definition.cron, str(error).lower()) from error
    except StopIteration:
        raise BadTimes("cron", f"{definition.cron!r} never comes: there is no such date") from None


def _no_cron(cron: str, reason: str) -> BadTimes:
    return BadTimes(
        "cron",
        f"{cron!r} is not a cron expression: {reason}. Five fields are expected (minute, hour, day of the month,"
        " month, day of the week), such as '30 2 * * 1-5'",
    )


def ticks_after(definition: Definition, after: datetime) -> Iterator[datetime]:
    """The ticks later than a moment, in UTC, soonest first. Raises `BadTimes`."""
    if definition.start is not None and after < definition.start:
        after = definition.start - timedelta(microseconds=1)
    if definition.at is not None:
        yield from [definition.at.astimezone(UTC)] if definition.at > after else []
    elif definition.interval_seconds is not None:
        yield from _intervals(definition, after)
    else:
        yield from _crons(definition, after)


def first_tick_after(definition: Definition, after: datetime) -> datetime | None:
    """The next tick after a moment, or None. Raises `BadTimes`."""
    return next(ticks_after(definition, after), None)


def next_tick(schedule: Schedule) -> datetime | None:
    """The first tick that was neither run nor skipped, or None. Raises `BadTimes`."""
    return first_tick_after(schedule.definition, _counted_until(schedule))


class PassedTicks(NamedTuple):
    """Ticks that have passed and were neither run nor skipped."""

    last: datetime
    """The latest of them."""
    missed: int
    """The number of ticks before it, at most `MOST_COUNTED`."""


def overdue(schedule: Schedule, now: datetime) -> PassedTicks | None:
    """The ticks up to now, or None. Raises `BadTimes`."""
    definition, until = schedule.definition, _counted_until(schedule)
    if definition.interval_seconds is not None:
        return _overdue_interval(definition, until, now)
    last, count = None, 0
    for tick in islice(ticks_after(definition, until), MOST_COUNTED + 1):
        if tick > now:
            break
        last, count = tick, count + 1
    if last is None:
        return None
    if count > MOST_COUNTED:  # too many to count: look for the latest from its end
        last = _latest(definition, last, now)
    return PassedTicks(last, count - 1)


def _counted_until(schedule: Schedule) -> datetime:
    since = datetime.fromtimestamp(schedule.since_ms / 1000, UTC)
    return since if schedule.last_tick is None else max(since, schedule.last_tick)


def _zone(definition: Definition) -> ZoneInfo:
    try:
        return ZoneInfo(definition.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _no_zone(definition) from None


def _no_zone(definition: Definition) -> BadTimes:
    return BadTimes(
        "time_zone", f"there is no time zone {definition.time_zone!r}: a name such as Europe/Berlin or UTC is expected"
    )


def _crons(definition: Definition, after: datetime) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError

    assert definition.cron is not None
    try:
        for found in CronSim(definition.cron, after.astimezone(_zone(definition))):
            tick = found.astimezone(UTC)
            if tick > after:  # if it begins in the second of two equal hours, it may go back to the first
                after = tick
                yield tick
    except (CronSimError, OverflowError) as error:
        raise BadTimes("cron", f"{definition.cron!r}: {error}") from error


def _intervals(definition: Definition, after: datetime) -> Iterator[datetime]:
    assert definition.interval_seconds is not None
    assert definition.start is not None
    step = timedelta(seconds=definition.interval_seconds)
    tick = definition.start.astimezone(UTC)
    if tick <= after:
        tick += step * ((after - tick) // step + 1)
    while True:
        yield tick
        try:
            tick += step
        except OverflowError:
            return


def _overdue_interval(definition: Definition, until: datetime, now: datetime) -> PassedTicks | None:
    first = first_tick_after(definition, until)
    if first is None or first > now:
        return None
    step = timedelta(seconds=definition.interval_seconds or 1)
    passed = (now - first) // step
    return PassedTicks(first + step * passed, min(passed, MOST_COUNTED))


def _latest(definition: Definition, known: datetime, now: datetime) -> datetime:
    """The latest tick up to now, given an earlier one. It searches in spans that grow backwards from now."""
    span = timedelta(hours=1)
    while now - span > known:
        found = None
        for tick in ticks_after(definition, now - span):
            if tick > now:
                break
            found = tick
        if found is not None:
            return found
        span *= 4
    latest = known
    for tick in ticks_after(definition, known):
        if tick > now:
            break
        latest = tick
    return latest
