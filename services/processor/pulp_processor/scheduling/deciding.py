"""The decision about a tick that has come. Pure."""

from datetime import datetime, timedelta

from pulp_events.schedule_events import Missed, Overlap, SkipReason, TickDue, TickSkipped
from pulp_projections.schedules.reading import ToDecide
from pulp_projections.schedules.ticks import overdue


def decide(found: ToDecide, now: datetime, grace: timedelta) -> TickDue | TickSkipped | None:
    """The event to append for a schedule's ticks up to now, of which only the latest is run; None without ticks. A tick
    later than the grace was missed, for example in an outage: the schedule decides whether it runs all the same.

    Raises `BadTimes`.
    """
    schedule, definition = found.schedule, found.schedule.definition
    passed = overdue(schedule, now)
    if passed is None:
        return None
    skipped = None
    if definition.missed is Missed.SKIP and now - passed.last > grace:
        skipped = SkipReason.MISSED
    elif definition.overlap is Overlap.SKIP and found.is_last_running:
        skipped = SkipReason.STILL_RUNNING
    if skipped is not None:
        return TickSkipped(version=schedule.version, tick=passed.last, reason=skipped, missed=passed.missed)
    return TickDue(version=schedule.version, tick=passed.last, missed=passed.missed)
