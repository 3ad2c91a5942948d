"""Schedules in Pulp 3's JSON. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, NotRequired, TypedDict
from uuid import UUID

import msgspec
from msgspec import Meta
from pulp_events.events import Resource
from pulp_events.schedule_events import Missed, Overlap
from pulp_events.task import State
from pulp_projections.schedules.reading import ListedSchedule, ScheduleRun, failures_in_a_row
from pulp_projections.times import moment

from pulp_api.respond import instant
from pulp_api.schedules import NoSchedule
from pulp_api.v3.answers import Time
from pulp_api.v3.references import Kind, user_href
from pulp_api.v3.tasks import WORDS, href_of

_MOST_FAILURES: Final = 5
"""How many of the last failures a schedule shows."""


class TickErrorResponse(TypedDict):
    """Why a tick brought no success."""

    error_code: NotRequired[Annotated[str | None, Meta(description="The error of a task that did not succeed.")]]
    description: str | None


class ScheduleRunResponse(TypedDict):
    """What came of a tick."""

    tick: Time
    outcome: Annotated[
        str,
        Meta(description="due, submitted, refused, missed, still-running, or dropped by a change of the schedule."),
    ]
    missed: Annotated[int, Meta(description="The number of earlier ticks that passed without a task.")]
    task: str | None
    state: Annotated[str | None, Meta(description="That of the task.")]
    error: TickErrorResponse | None
    decided_at: Time


class ScheduleResponse(TypedDict):
    """A schedule: the fields of Pulp 3, then those that only this service has."""

    pulp_href: str
    prn: str
    pulp_created: Time
    pulp_last_updated: Time
    name: str
    task_name: Annotated[str, Meta(description="The operation.")]
    dispatch_interval: Annotated[str | None, Meta(description="`D HH:MM:SS`; null for cron and for a single time.")]
    next_dispatch: Time | None
    last_task: Annotated[str | None, Meta(description="The href of the task.")]
    enabled: bool
    cron: Annotated[str | None, Meta(description="Five fields, in `time_zone`.")]
    interval_seconds: Annotated[int | None, Meta(description="Elapsed time between two ticks, counted from `start`.")]
    at: Annotated[Time | None, Meta(description="The only tick.")]
    start: Annotated[Time | None, Meta(description="The earliest possible tick.")]
    time_zone: Annotated[str, Meta(description="A name of the IANA database, such as Europe/Berlin.")]
    missed: Annotated[Missed, Meta(description="What happens to ticks that passed while nothing could run them.")]
    overlap: Annotated[Overlap, Meta(description="What happens to a tick while the last task is unfinished.")]
    arguments: Annotated[Any, Meta(extra_json_schema={"type": "object"})]
    resources: tuple[Resource, ...] | None
    tags: tuple[str, ...] | None
    queue: str
    priority: int
    timeout_seconds: int | None
    created_by: Annotated[str | None, Meta(description="The user's href.")]
    updated_by: str | None
    version: Annotated[int, Meta(description="The version of the definition.")]
    last_tick: Time | None
    last_outcome: str | None
    failures_in_a_row: Annotated[int, Meta(description="Counted among the latest ticks that have ended.")]
    last_failures: list[ScheduleRunResponse]


class PreviewResponse(TypedDict):
    """The next ticks of a schedule."""

    time_zone: str
    enabled: bool
    ticks: list[Time]


def schedule_href(schedule_id: UUID) -> str:
    """The schedule's relative URL."""
    return Kind.SCHEDULE.href(schedule_id)


def schedule_id_of(text: str) -> UUID:
    """The schedule's id in a path. Raises `NoSchedule` for a text that is not a UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise NoSchedule(text) from None


def schedule_shape(listed: ListedSchedule, runs: Sequence[ScheduleRun]) -> ScheduleResponse:
    """A schedule in JSON. `runs` are the latest ticks, latest first."""
    schedule, definition = listed.schedule, listed.schedule.definition
    task, failed = definition.task, [run for run in runs if run.has_failed]
    return {
        "pulp_href": schedule_href(schedule.schedule_id),
        "prn": Kind.SCHEDULE.prn(schedule.schedule_id),
        "pulp_created": instant(moment(schedule.created_at_ms)),
        "pulp_last_updated": instant(moment(schedule.updated_at_ms)),
        "name": definition.name,
        "task_name": task.operation,
        "dispatch_interval": _duration(definition.interval_seconds),
        "next_dispatch": instant(listed.next_tick) if definition.enabled else None,
        "last_task": None if schedule.last_task is None else href_of(schedule.last_task),
        "enabled": definition.enabled,
        "cron": definition.cron,
        "interval_seconds": definition.interval_seconds,
        "at": instant(definition.at),
        "start": instant(definition.start),
        "time_zone": definition.time_zone,
        "missed": definition.missed,
        "overlap": definition.overlap,
        "arguments": task.arguments,
        "resources": task.resources,
        "tags": task.tags,
        "queue": task.queue,
        "priority": task.priority,
        "timeout_seconds": task.timeout_seconds,
        "created_by": user_href(schedule.created_by),
        "updated_by": user_href(schedule.updated_by),
        "version": schedule.version,
        "last_tick": instant(schedule.last_tick),
        "last_outcome": runs[0].outcome if runs else None,
        "failures_in_a_row": failures_in_a_row(runs),
        "last_failures": [run_shape(run) for run in failed[:_MOST_FAILURES]],
    }


def run_shape(run: ScheduleRun) -> ScheduleRunResponse:
    """What came of a tick."""
    return {
        "tick": instant(run.tick),
        "outcome": run.outcome,
        "missed": run.missed,
        "task": None if run.task_id is None else href_of(run.task_id),
        "state": None if run.state is None else WORDS[State(run.state)],
        "error": _error(run),
        "decided_at": instant(run.decided_at),
    }


def _error(run: ScheduleRun) -> TickErrorResponse | None:
    if run.reason is not None:
        return {"description": run.reason}
    if run.error is None:
        return None
    found: Mapping[str, Any] | None = msgspec.json.decode(run.error)
    return None if found is None else {"error_code": found.get("code"), "description": found.get("description")}


def _duration(seconds: int | None) -> str | None:
    """As Django writes it: `1 00:00:00`, or without the days if they are zero."""
    if seconds is None:
        return None
    found = timedelta(seconds=seconds)
    hours, rest = divmod(found.seconds, 3600)
    days = f"{found.days} " if found.days else ""
    return f"{days}{hours:02}:{rest // 60:02}:{rest % 60:02}"
