"""Which events a subscriber wants: one typed filter with one evaluation, for every door.

A filter looks at an event's type and task, and at the task's origin, which is in its `accepted` event. Later events of
a task do not repeat it. A door remembers the origins of the newest tasks (`Origins`), learns those of new tasks as
their `accepted` events pass, and looks up all others where it can: in the read model, or further back in the log.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from types import MappingProxyType
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from pulp_events.codec import EARLIER, TYPES
from pulp_events.errors import BadInput
from pulp_events.events import Accepted, Event, UnknownEvent

UNDECODABLE: Final = "undecodable"
"""The type that a filter knows for a record that is not an event."""
MOST_VALUES: Final = 100
"""The most values of one field of a filter."""
MOST_CHARACTERS: Final = 511
"""The most characters of a value: a resource has two names of 255."""


_VERSION: Final = re.compile(r"\.v[0-9]+$", re.ASCII)


def kind_of(literal: str) -> str:
    """What happened, without the version: `accepted`."""
    return _VERSION.sub("", literal.removeprefix("org.pulpproject.task."))


def _first(literal: str) -> str:
    """The first version of a type of event that this release knows."""
    return f"{literal.rpartition('.')[0]}.v1"


FIRST: Final[Mapping[str, str]] = {literal: _first(literal) for literal in (*TYPES.values(), *EARLIER.values())}
"""Every version of a type → its first one, by which filters name them all."""
TYPE_OF: Final[Mapping[str, str]] = {
    UNDECODABLE: UNDECODABLE,
    **FIRST,
    **{kind_of(literal): first for literal, first in FIRST.items()},
}
"""The spellings of a type → its first version, which stands for all, so that filters of earlier releases still work."""

_PARTS_OF_THE_PROCESSOR: Final = ("reactor", "scheduler")
"""The actors without a name of their own."""

_Value = Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)]
_Values = Annotated[Sequence[_Value], Meta(max_length=MOST_VALUES)]
_Ids = Annotated[Sequence[UUID], Meta(max_length=MOST_VALUES)]


class Origin(Struct, frozen=True, kw_only=True, gc=False):
    """What a task was when it was accepted, as far as filters look at it."""

    operation: str
    resources: tuple[str, ...] = ()
    """Their keys, `TYPE:ID`."""
    actor: str
    """Who submitted the task, such as `user:NAME`."""
    group_id: UUID | None = None

    @classmethod
    def of(cls, event: Event) -> "Origin | None":
        """What an `accepted` event says; None for any other event."""
        data = event.data
        if type(data) is not Accepted:
            return None
        return cls(
            operation=intern(data.operation),
            resources=tuple(intern(resource.key) for resource in data.resources),
            actor=intern(event.actor),
            group_id=data.group_id,
        )


class Filter(
    Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True, forbid_unknown_fields=True
):
    """Which events are wanted: those that match every field, by any of its values; an empty field matches everything.

    `types` takes `finished` for `org.pulpproject.task.finished.v1`, and each type stands for all its versions;
    `undecodable` stands for records that are not events. Equal filters have the same fields and the same JSON, however
    they were written. Raises `BadInput` for a value that no event can have.
    """

    types: _Values = ()
    tasks: _Ids = ()
    operations: _Values = ()
    resources: _Values = ()
    """Keys, `TYPE:ID`: the task uses one of them, whatever the access."""
    actors: _Values = ()
    """Who submitted the task, such as `user:NAME`."""
    groups: _Ids = ()

    def __post_init__(self) -> None:
        _set(self, "types", map(_checked_type, _texts("types", self.types)))
        _set(self, "tasks", _ids("tasks", self.tasks))
        _set(self, "operations", _texts("operations", self.operations))
        _set(self, "resources", map(_checked_resource, _texts("resources", self.resources)))
        _set(self, "actors", map(_checked_actor, _texts("actors", self.actors)))
        _set(self, "groups", _ids("groups", self.groups))

    @property
    def needs_origin(self) -> bool:
        """Whether it needs a task's origin."""
        return bool(self.operations or self.resources or self.actors or self.groups)

    def asks_for_origin(self, type: str, task_id: UUID | None) -> bool:
        """Whether the decision about this event depends on its task's origin, so that the caller must look it up."""
        return self.needs_origin and self._fits_itself(type, task_id)

    def matches(self, type: str, task_id: UUID | None, origin: Origin | None) -> bool:
        """Whether an event is wanted. Pure, and the only place that decides it.

        `type` is the type on the wire (`type_of`), or `UNDECODABLE`. `task_id` is the task that the record's key names,
        None if it names none. `origin` is the task's origin; None, of a task without an `accepted` before the event,
        fits no filter that asks for one.
        """
        if not self._fits_itself(type, task_id):
            return False
        if not self.needs_origin:
            return True
        if origin is None:
            return False
        return (
            (not self.operations or origin.operation in self.operations)
            and (not self.actors or origin.actor in self.actors)
            and (not self.groups or origin.group_id in self.groups)
            and (not self.resources or not set(self.resources).isdisjoint(origin.resources))
        )

    def _fits_itself(self, type: str, task_id: UUID | None) -> bool:
        return (not self.types or FIRST.get(type, type) in self.types) and (not self.tasks or task_id in self.tasks)


class Origins:
    """The origins of the most recently seen tasks, within bounded memory. For one thread at a time.

    A task's origin is its first `accepted` in the log. If a task has two `accepted` with different content, which no
    program of this system writes, the second may count once the first is forgotten.
    """

    def __init__(self, most: int = 20_000) -> None:
        """Remember `most` tasks; each takes some 400 bytes."""
        self._most = most
        self._known: dict[UUID, Origin | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def look_up(self, events: Iterable[Event | UnknownEvent]) -> "LookUp":
        """Begin to find the origins of these events' tasks. The events are in log order within each partition."""
        return self.look_up_pairs((event.task_id, _origin_in(event)) for event in events)

    def look_up_pairs(self, events: Iterable[tuple[UUID, Origin | None]]) -> "LookUp":
        """Like `look_up`, for events that are known only by their task, and by the origin for an `accepted` event."""
        return LookUp(self, list(events))

    def offer(self, found: Mapping[UUID, Origin]) -> None:
        """Remember these while there is room, without forgetting others."""
        for task_id, origin in found.items():
            if len(self._known) >= self._most:
                return
            self._known.setdefault(task_id, origin)

    def _recall(self, task_ids: Iterable[UUID]) -> dict[UUID, Origin | None]:
        found = {task_id: self._known.pop(task_id) for task_id in task_ids if task_id in self._known}
        self._known |= found  # the newest are the last
        return found

    def _remember(self, found: Mapping[UUID, Origin | None]) -> None:
        for task_id in found:
            self._known.pop(task_id, None)
        self._known |= found
        for _ in range(len(self._known) - self._most):
            del self._known[next(iter(self._known))]


class LookUp:
    """The origins of some events' tasks: the remembered ones, and the ids of those that the caller must look up."""

    def __init__(self, origins: Origins, events: Sequence[tuple[UUID, Origin | None]]) -> None:
        self._origins, self._events = origins, events
        self._found = origins._recall({task_id for task_id, _ in events})

    @property
    def missing(self) -> set[UUID]:
        """The tasks whose origin is neither remembered nor among earlier events here."""
        accepted = set(self._found)
        missing = set()
        for task_id, own in self._events:
            if task_id not in accepted:
                accepted.add(task_id)
                if own is None:
                    missing.add(task_id)
        return missing

    def origins(self, found: Mapping[UUID, Origin | None] = MappingProxyType({})) -> "list[Origin | None]":
        """The origin of each event's task, including the missing ones that were found; all are remembered.

        A task that `found` leaves out has no `accepted` in the log.
        """
        known: dict[UUID, Origin | None] = {**dict.fromkeys(self.missing), **found, **self._found}
        origins = []
        for task_id, own in self._events:
            origin = known.get(task_id)
            if origin is None:
                origin = known[task_id] = own
            origins.append(origin)
        self._origins._remember(known)
        return origins


def _origin_in(event: Event | UnknownEvent) -> Origin | None:
    return Origin.of(event) if isinstance(event, Event) else None


def _texts(name: str, values: Iterable[object]) -> Iterator[str]:
    """The values: a single text would be taken for a sequence of letters."""
    if isinstance(values, str | bytes):
        raise BadInput(f"{name}={values!r}: a list of values is expected, such as [{values!r}]")
    for value in values:
        if not isinstance(value, str):
            raise BadInput(f"{name}: {value!r} is not a text")
        yield value


def _ids(name: str, values: Iterable[object]) -> Iterator[UUID]:
    """The values as UUIDs, converted from texts: events have UUIDs."""
    if isinstance(values, str | bytes | UUID):
        raise BadInput(f"{name}={str(values)!r}: a list of ids is expected, such as [{str(values)!r}]")
    for value in values:
        try:
            yield value if isinstance(value, UUID) else UUID(str(value))
        except ValueError:
            raise BadInput(f"{name}: {value!r} is not the id of a {name[:-1]}, a UUID") from None


def _set(filter: Filter, name: str, values: Iterable[str] | Iterable[UUID]) -> None:
    unique: set[str | UUID] = set(values)
    if len(unique) > MOST_VALUES:
        raise BadInput(f"{name}: {len(unique)} values, and a filter takes at most {MOST_VALUES}")
    if any(isinstance(value, str) and not 1 <= len(value) <= MOST_CHARACTERS for value in unique):
        raise BadInput(f"{name}: a value has 1 to {MOST_CHARACTERS} characters")
    force_setattr(filter, name, tuple(sorted(unique, key=str)))


def _checked_type(name: str) -> str:
    if name not in TYPE_OF:
        known = ", ".join(sorted(filter(_is_short, TYPE_OF)))
        raise BadInput(f"type={name}: no event has this type, these have: {known}")
    return TYPE_OF[name]


def _is_short(name: str) -> bool:
    return "." not in name


def _checked_resource(key: str) -> str:
    kind, _, name = key.partition(":")
    if not (kind and name):
        raise BadInput(f"resource={key}: TYPE:ID is expected, such as repository:zoo")
    return key


def _checked_actor(actor: str) -> str:
    if actor not in _PARTS_OF_THE_PROCESSOR and not all(actor.partition(":")):
        raise BadInput(f"actor={actor}: user:NAME is expected, such as user:admin")
    return actor


EVERYTHING: Final = Filter()
"""The filter that every record matches."""
