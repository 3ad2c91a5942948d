"""The events of schedules, as frozen facts. Their union, `ScheduleData`, closes the set.

They are in a topic of their own, `Topics.schedules`, with one partition: the order of all of them decides, so that one
name has one schedule and one tick is run once. A tick is the moment at which a schedule is to submit its task.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, TypeAlias, final
from uuid import UUID

from msgspec import Meta, Struct

from pulp_events.events import Name, Object, Resource, Tag, shown

LEAST_INTERVAL_S: Final = 10
"""The shortest interval, in seconds."""
MOST_INTERVAL_S: Final = 315_360_000
_TAG: Final = "pulp:schedule:"
MOST_CRON: Final = 255
"""The longest cron expression, in characters."""
Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
Tick: TypeAlias = Annotated[datetime, Meta(tz=True, description="The moment for which the schedule is to run.")]
Version: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1, description="Of the definition that it belongs to.")]
MissedCount: TypeAlias = Annotated[int, Meta(ge=0, description="How many earlier ticks passed without a task.")]


class Missed(StrEnum):
    """What becomes of ticks that passed while nobody could run them."""

    SKIP = "skip"
    RUN_ONCE = "run-once"


class Overlap(StrEnum):
    """What becomes of a tick while the schedule's last task has not ended."""

    SKIP = "skip"
    ALLOW = "allow"


class SkipReason(StrEnum):
    """Why a tick has no task."""

    MISSED = "missed"
    STILL_RUNNING = "still-running"


class TaskTemplate(Struct, frozen=True, kw_only=True, gc=False):
    """What a tick submits, as a client would; what is left out comes from the operation's declaration at that time."""

    operation: Name
    arguments: Object
    resources: Annotated[tuple[Resource, ...], Meta(max_length=100)] | None = None
    tags: Annotated[tuple[Tag, ...], Meta(max_length=99)] | None = None
    """One less than a task may have: the tag of the schedule is added."""
    queue: Name = "default"
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    timeout_seconds: Annotated[int, Meta(ge=1, le=315_360_000)] | None = None

    __repr__ = shown


class Definition(Struct, frozen=True, kw_only=True, gc=False):
    """What a schedule runs, and when. Exactly one of `cron`, `interval_seconds` and `at` is given."""

    name: Name
    task: TaskTemplate
    cron: Annotated[str, Meta(min_length=1, max_length=MOST_CRON)] | None = None
    """Five fields, in the time zone of the schedule."""
    interval_seconds: Annotated[int, Meta(ge=LEAST_INTERVAL_S, le=MOST_INTERVAL_S)] | None = None
    """Elapsed time between two ticks, whatever clocks do meanwhile; counted from `start`."""
    at: Moment | None = None
    """The only tick."""
    start: Moment | None = None
    """No tick is earlier. An interval always has one."""
    time_zone: Name = "UTC"
    """A name of the IANA time zone database."""
    enabled: bool = True
    missed: Missed = Missed.SKIP
    overlap: Overlap = Overlap.SKIP


@final
class ScheduleCreated(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody wants a task to be submitted again and again, in the name of the event's actor."""

    definition: Definition


@final
class ScheduleChanged(Struct, frozen=True, kw_only=True, gc=False):
    """The definition was replaced as a whole. It has no effect on another version than the one it was made from."""

    version: Version
    definition: Definition


@final
class ScheduleRemoved(Struct, frozen=True, kw_only=True, gc=False):
    """The schedule ends: no tick has an effect any more."""


@final
class TickDue(Struct, frozen=True, kw_only=True, gc=False):
    """A tick is to be run. The first such event of a tick counts, and only with the definition of now."""

    version: Version
    tick: Tick
    missed: MissedCount = 0


@final
class TickSkipped(Struct, frozen=True, kw_only=True, gc=False):
    """A tick gets no task."""

    version: Version
    tick: Tick
    reason: SkipReason
    missed: MissedCount = 0


@final
class TickSubmitted(Struct, frozen=True, kw_only=True, gc=False):
    """The task of a due tick is in the log of tasks."""

    tick: Tick
    task_id: UUID


@final
class TickRefused(Struct, frozen=True, kw_only=True, gc=False):
    """The task of a due tick was refused, as a submission by the schedule's author would have been."""

    tick: Tick
    reason: Annotated[str, Meta(max_length=1024)]


ScheduleData = ScheduleCreated | ScheduleChanged | ScheduleRemoved | TickDue | TickSkipped | TickSubmitted | TickRefused


class ScheduleEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One CloudEvents 1.0 envelope with its data. `time` is the author's clock: data, never an order."""

    id: UUID
    schedule_id: UUID
    time: datetime
    actor: Name
    """Who: `user:NAME`, or `scheduler`."""
    data: ScheduleData
    correlation_id: str | None = None


def source_of(schedule_id: UUID) -> str:
    """The `source` of an `accepted` event that a schedule has made."""
    return f"/pulp/schedules/{schedule_id}"


def tag_of(schedule_id: UUID) -> str:
    """The tag of every task that a schedule has made."""
    return f"{_TAG}{schedule_id}"


def schedule_in(tags: Iterable[str]) -> str | None:
    """The id of the schedule that has made the task with these tags; None if none has."""
    found = [tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG)]
    return found[-1] if found else None  # it is added behind those that the schedule gives
