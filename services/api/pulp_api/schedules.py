"""Schedules: making, changing and removing them. Each change is an event; it answers once the event is projected."""

from collections.abc import Callable, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import asdict, replace
from pulp_accounts.users import Role
from pulp_events.errors import BadInput, LogUnavailable, PulpError
from pulp_events.events import EMPTY_OBJECT, Name, Resource, Tag
from pulp_events.ids import derived_id, new_id
from pulp_events.schedule import Schedule, ScheduleReason
from pulp_events.schedule_events import (
    LEAST_INTERVAL_S,
    MOST_CRON,
    MOST_INTERVAL_S,
    Definition,
    Missed,
    Overlap,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleData,
    ScheduleEvent,
    ScheduleRemoved,
    TaskTemplate,
)
from pulp_events.schedule_log import ScheduleLog
from pulp_projections.personal.envelope import Sight
from pulp_projections.schedules.projector import find_schedule
from pulp_projections.schedules.reading import created_as, effect_of_schedule_event
from pulp_projections.schedules.ticks import BadTimes, check_times, first_tick_after

from pulp_api.bodies import check_names, decoded, names_of_task
from pulp_api.effects import effect_of
from pulp_api.logins.auth import Connect, Principal
from pulp_api.purging import check_operation
from pulp_api.scheduled import submission_of_schedule
from pulp_api.submitting.personal import need_shown
from pulp_api.submitting.submitter import KeyReused, Submitter

_EFFECT_S: Final = 8.0
"""How long a change waits for its projection: longer than the election of a dispatcher takes."""
_TRIES: Final = 5
_WHEN: Final = ("cron", "interval_seconds", "at")
_TIMES: Final = (*_WHEN, "start", "time_zone")
_OF_TASK: Final = ("arguments", "resources", "tags", "queue", "priority", "timeout_seconds")
_OF_SCHEDULE: Final = (*_WHEN, "start", "time_zone", "enabled", "missed", "overlap")
_MAX_KEY: Final = 255


class NoSchedule(PulpError):
    """No schedule has this id, or it was removed."""

    def __init__(self, schedule_id: UUID | str) -> None:
        super().__init__(f"no schedule {schedule_id}")
        self.schedule_id = schedule_id


class ScheduleRemovedAtOnce(PulpError):
    """The schedule was created, and somebody has removed it before it could be shown."""

    def __init__(self, schedule_id: UUID) -> None:
        super().__init__(f"the schedule {schedule_id} was created, and somebody has removed it since: create it again")


class BadSchedule(BadInput):
    """A field of a schedule is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class ScheduleChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request: a field left out keeps its value, or has its default in a new schedule."""

    name: Name | UnsetType = UNSET
    task_name: Name | UnsetType = UNSET
    """The operation."""
    arguments: Raw | UnsetType = UNSET
    resources: Annotated[tuple[Resource, ...], Meta(max_length=100)] | UnsetType | None = UNSET
    tags: Annotated[tuple[Tag, ...], Meta(max_length=99)] | UnsetType | None = UNSET
    queue: Name | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=-1000, le=1000)] | UnsetType = UNSET
    timeout_seconds: Annotated[int, Meta(ge=1, le=315_360_000)] | UnsetType | None = UNSET
    cron: Annotated[str, Meta(max_length=MOST_CRON)] | UnsetType | None = UNSET
    interval_seconds: Annotated[int, Meta(ge=LEAST_INTERVAL_S, le=MOST_INTERVAL_S)] | UnsetType | None = UNSET
    at: Annotated[datetime, Meta(tz=True)] | UnsetType | None = UNSET
    start: Annotated[datetime, Meta(tz=True)] | UnsetType | None = UNSET
    time_zone: Name | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    missed: Missed | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET


def parse_change(body: bytes) -> ScheduleChange:
    """Raises `BadInput`, which says what is wrong and where."""
    what = "the schedule"
    found = decoded(body, ScheduleChange, what)
    names = names_of_task(found.resources, found.tags)
    check_names(what, [("name", found.name), ("queue", found.queue), *names])
    return found


def new_definition(change: ScheduleChange, now: datetime) -> Definition:
    """The definition of a new schedule. Raises `BadSchedule`."""
    return _checked(_requested(change), None, now)


def _requested(change: ScheduleChange) -> Definition:
    if change.name is UNSET or change.task_name is UNSET:
        raise BadSchedule("name" if change.name is UNSET else "task_name", "This field is required.")
    task = TaskTemplate(operation=change.task_name, arguments=EMPTY_OBJECT)
    return _merged(Definition(name=change.name, task=task), change)


def _is_same(change: ScheduleChange, created: Definition) -> bool:
    """Whether a repeated request to create a schedule matches the one that was created."""
    requested = _requested(change)
    if requested.interval_seconds is not None and requested.start is None:
        requested = replace(requested, start=created.start)  # the time of the first request
    return bool(_values(requested) == _values(created))


def _values(definition: Definition) -> Any:
    """Without the spaces and the order of names in the arguments."""
    return msgspec.json.decode(msgspec.json.encode(definition))


def changed_definition(before: Definition, change: ScheduleChange, now: datetime) -> Definition:
    """The definition with the change. Times that stay as they are may be such as no new schedule may have.

    Raises `BadSchedule`.
    """
    return _checked(_merged(before, change), before, now)


def _merged(before: Definition, change: ScheduleChange) -> Definition:
    given = {name: value for name, value in _given(change).items() if name in _OF_SCHEDULE}
    if any(given.get(name) is not None for name in _WHEN):
        given = {**dict.fromkeys(_WHEN), **given}  # another kind of time replaces the one before
    for name in ("at", "start"):
        if given.get(name) is not None:
            given[name] = _in_utc(name, given[name])
    of_task = {name: value for name, value in _given(change).items() if name in _OF_TASK}
    if change.task_name is not UNSET:
        of_task["operation"] = change.task_name
    if change.name is not UNSET:
        given["name"] = change.name
    return replace(before, task=replace(before.task, **of_task), **given)


def _in_utc(field: str, time: datetime) -> datetime:
    try:
        found = time.astimezone(UTC).replace(microsecond=0)
    except OverflowError:  # in the first or the last hours of the calendar
        raise BadSchedule(field, "The time is out of range.") from None
    if not MINYEAR < found.year < MAXYEAR:  # no event may hold it
        raise BadSchedule(field, "The time is out of range.")
    return found


def _given(change: ScheduleChange) -> Mapping[str, Any]:
    return {name: value for name, value in asdict(change).items() if value is not UNSET}


def _checked(definition: Definition, before: Definition | None, now: datetime) -> Definition:
    if sum(getattr(definition, name) is not None for name in _WHEN) != 1:
        raise BadSchedule("cron", "Exactly one of cron, interval_seconds and at is expected.")
    if definition.interval_seconds is not None and definition.start is None:
        definition = replace(definition, start=now.replace(microsecond=0))
    has_new_times = before is None or any(getattr(definition, name) != getattr(before, name) for name in _TIMES)
    is_enabled_now = definition.enabled and (before is None or not before.enabled)
    try:
        if has_new_times:
            check_times(definition)
        must_come = definition.enabled and (has_new_times or is_enabled_now)
        if must_come and first_tick_after(definition, now - timedelta(seconds=1)) is None:
            raise BadSchedule(
                "at" if definition.at else "cron", "The time has passed: no task would ever be submitted."
            )
    except BadTimes as error:
        raise BadSchedule(error.field, str(error)) from error
    return definition


def _with_arguments(definition: Definition, arguments: Raw) -> Definition:
    return replace(definition, task=replace(definition.task, arguments=arguments))


class Schedules:
    """Changes schedules for users."""

    def __init__(
        self,
        log: ScheduleLog | None,
        connect: Connect,
        submitter: Submitter,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log, self._connect, self._submitter, self._clock = log, connect, submitter, clock

    async def get(self, schedule_id: UUID) -> Schedule:
        """Raises `NoSchedule`."""
        async with self._connect() as connection:
            found = await find_schedule(connection, schedule_id)
        if found is None or found.removed_at_ms is not None:
            raise NoSchedule(schedule_id)
        return found

    async def create(
        self, change: ScheduleChange, principal: Principal, *, key: str | None, correlation_id: str | None
    ) -> Schedule:
        """Create a schedule, which submits tasks as this user; the same `key` makes one schedule.

        Raises `Forbidden`, `BadSchedule`, `BadInput`, `KeyReused`, `ScheduleRemovedAtOnce`, `LogUnavailable`,
        `PositionNotReached`.
        """
        principal.need(Role.SUBMITTER)
        if key is not None and len(key) > _MAX_KEY:
            raise BadInput(f"the Idempotency-Key has {len(key)} characters, at most {_MAX_KEY} are taken")
        schedule_id = new_id() if key is None else derived_id("schedule of", principal.actor, key)
        if key is not None and (created := await self._created_as(schedule_id)) is not None:
            return await self._repeated(schedule_id, change, created)
        definition = new_definition(change, self._clock())
        check_operation(principal, definition.task.operation)
        await self._submitter.check(submission_of_schedule(definition.task))
        sealed = await self._sealed(schedule_id, definition)
        effect = await self._append(schedule_id, ScheduleCreated(definition=sealed), principal, correlation_id)
        if effect == ScheduleReason.NAME_TAKEN:
            raise BadSchedule("name", "This field must be unique.")
        if effect != ScheduleReason.DUPLICATE:
            try:
                return await self.get(schedule_id)
            except NoSchedule:
                raise ScheduleRemovedAtOnce(schedule_id) from None
        created = await self._created_as(schedule_id)  # by another request with the key, meanwhile
        assert created is not None
        return await self._repeated(schedule_id, change, created)

    async def _created_as(self, schedule_id: UUID) -> Definition | None:
        async with self._connect() as connection:
            return await created_as(connection, schedule_id)

    async def _repeated(self, schedule_id: UUID, change: ScheduleChange, created: Definition) -> Schedule:
        """The schedule that a request with the same key has created. Raises `KeyReused`."""
        opened, _ = await self._opened(schedule_id, created)
        if not _is_same(change, opened):
            raise KeyReused(f"the Idempotency-Key came before with another schedule, {schedule_id}")
        try:
            return await self.get(schedule_id)
        except NoSchedule:
            raise KeyReused(
                f"the Idempotency-Key came before with the schedule {schedule_id}, which was removed: send another key"
            ) from None

    async def change(
        self, schedule_id: UUID, change: ScheduleChange, principal: Principal, *, correlation_id: str | None
    ) -> Schedule:
        """Change a schedule for a user who may change it. Raises as `create`, and `NoSchedule`."""
        for _ in range(_TRIES):
            before = await self.get(schedule_id)
            opened, sights = await self._opened(schedule_id, before.definition)
            definition = changed_definition(opened, change, self._clock())
            check_operation(principal, definition.task.operation)
            if definition == opened:
                return before
            if definition.task == opened.task:
                definition = replace(definition, task=before.definition.task)
            else:
                if change.arguments is UNSET:
                    need_shown(sights, {})
                await self._submitter.check(submission_of_schedule(definition.task))
                definition = await self._sealed(schedule_id, definition)
            data = ScheduleChanged(version=before.version, definition=definition)
            effect = await self._append(schedule_id, data, principal, correlation_id)
            if effect == ScheduleReason.NAME_TAKEN:
                raise BadSchedule("name", "This field must be unique.")
            if effect != ScheduleReason.STALE:  # otherwise somebody has changed it meanwhile: change that version
                return await self.get(schedule_id)
        raise LogUnavailable(f"schedule {schedule_id} is changed by others all the time: try again later")

    async def remove(self, schedule_id: UUID, principal: Principal, *, correlation_id: str | None) -> None:
        """Remove a schedule for a user who may change it; its tasks stay. Raises as `change`."""
        await self.get(schedule_id)
        await self._append(schedule_id, ScheduleRemoved(), principal, correlation_id)

    async def shown(self, schedules: Sequence[Schedule]) -> list[Schedule]:
        """The schedules with their personal arguments as readers may see them."""
        wanted = {each.schedule_id: each.definition.task.arguments for each in schedules}
        found = await self._submitter.personal.opened(wanted)
        return [
            replace(each, definition=_with_arguments(each.definition, found[each.schedule_id].arguments))
            if each.schedule_id in found
            else each
            for each in schedules
        ]

    async def _sealed(self, schedule_id: UUID, definition: Definition) -> Definition:
        """The definition with personal arguments encrypted for this schedule; no other form may be written."""
        body = submission_of_schedule(definition.task)
        return _with_arguments(definition, await self._submitter.sealed(body, schedule_id))

    async def _opened(self, schedule_id: UUID, definition: Definition) -> tuple[Definition, Mapping[str, Sight]]:
        found = (await self._submitter.personal.opened({schedule_id: definition.task.arguments})).get(schedule_id)
        return (definition, {}) if found is None else (_with_arguments(definition, found.arguments), found.personal)

    async def _append(
        self, schedule_id: UUID, data: ScheduleData, principal: Principal, correlation_id: str | None
    ) -> str:
        """The effect of the event. Raises `PositionNotReached` if that is not known in time."""
        if self._log is None:
            raise LogUnavailable("this API has no topic of schedules")
        event = ScheduleEvent(
            id=new_id(),
            schedule_id=schedule_id,
            time=self._clock(),
            actor=principal.actor,
            data=data,
            correlation_id=correlation_id,
        )
        offset = await self._log.append(event)
        return await effect_of(self._connect, effect_of_schedule_event, offset, "schedule", _EFFECT_S)
