"""The fields of a task that a search of Pulp 2 may name: how each is compared in SQL, and sorted by. Pure.

Every value is bound. A comparison is null or false for a task without a value.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString, Protocol
from uuid import UUID

from pulp_events.errors import BadInput

from pulp_api.times import time_of
from pulp_api.v2.words import WORD_SQL, in_states, stored_tags

Bind = Callable[[Any], LiteralString]
"""Binds a value, and returns its placeholder."""
COMPARISONS: Final[Mapping[str, LiteralString]] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_OID: Final = re.compile(r"[0-9a-fA-F]{24}")
_SECOND: Final = timedelta(seconds=1)
_LAST_YEAR: Final = 9000
"""Well below `datetime`'s maximum, since a second is added to it."""


class SearchField(Protocol):
    """One field."""

    @property
    def order(self) -> LiteralString | None:
        """The expression to sort by; None if it cannot be sorted."""

    @property
    def missing(self) -> LiteralString:
        """The condition that the task has no value."""

    def equals(self, values: Sequence[str], bind: Bind) -> LiteralString:
        """The condition that the value is any of these. Raises `BadInput`."""

    def compares(self, operator: LiteralString, value: str, bind: Bind) -> LiteralString:
        """The condition with one of `COMPARISONS`. Raises `BadInput`."""

    def matches(self, pattern: str, bind: Bind) -> LiteralString:
        """The condition that a part of the value matches a regular expression of Postgres."""


@dataclass(frozen=True, slots=True)
class TextField:
    """A text."""

    sql: LiteralString
    is_nullable: bool = False

    @property
    def order(self) -> LiteralString | None:
        """See `SearchField`."""
        return self.sql + ' collate "C"'

    @property
    def missing(self) -> LiteralString:
        """See `SearchField`."""
        return self.sql + " is null" if self.is_nullable else "false"

    def equals(self, values: Sequence[str], bind: Bind) -> LiteralString:
        """See `SearchField`."""
        return self.sql + " = any (" + bind(list(values)) + ")"

    def compares(self, operator: LiteralString, value: str, bind: Bind) -> LiteralString:
        """See `SearchField`."""
        return self.sql + ' collate "C" ' + operator + " " + bind(value)

    def matches(self, pattern: str, bind: Bind) -> LiteralString:
        """See `SearchField`."""
        return self.sql + " ~ " + bind(pattern)


@dataclass(frozen=True, slots=True)
class IdField:
    """An id. Its text is a UUID, or for one that MongoDB would give the first 24 digits of it."""

    sql: LiteralString
    order: LiteralString | None
    is_nullable: bool = False
    otherwise: LiteralString | None = None
    """The id that counts for a task without this one."""
    text: LiteralString | None = None
    """Its text, if it is not a UUID's."""

    @property
    def missing(self) -> LiteralString:
        """See `SearchField`."""
        return self.sql + " is null" if self.is_nullable and self.otherwise is None else "false"

    def equals(self, values: Sequence[str], bind: Bind) -> LiteralString:
        """See `SearchField`; a text that is not an id equals none."""
        ids = bind([found for value in values if (found := uuid_of(value)) is not None])
        parts = [self.sql + " = any (" + ids + ")"]
        if self.otherwise is not None:
            parts.append("(" + self.sql + " is null and " + self.otherwise + " = any (" + ids + "))")
        for value in values:
            if _OID.fullmatch(value):
                first, last = bind(UUID(value + "0" * 8)), bind(UUID(value + "f" * 8))
                parts.append(self.sql + " between " + first + " and " + last)
        return "(" + " or ".join(parts) + ")"

    def compares(self, operator: LiteralString, value: str, bind: Bind) -> LiteralString:
        """See `SearchField`."""
        return self._text.compares(operator, value.lower(), bind)

    def matches(self, pattern: str, bind: Bind) -> LiteralString:
        """See `SearchField`."""
        return self._text.matches(pattern, bind)

    @property
    def _text(self) -> TextField:
        whole = self.sql if self.otherwise is None else "coalesce(" + self.sql + ", " + self.otherwise + ")"
        return TextField("(" + whole + ")::text" if self.text is None else self.text)


@dataclass(frozen=True, slots=True)
class StateField:
    """The state, by Pulp 2's words."""

    order: LiteralString | None = "(" + WORD_SQL + ') collate "C"'
    missing: LiteralString = "false"

    def equals(self, values: Sequence[str], bind: Bind) -> LiteralString:
        """See `SearchField`."""
        found = in_states(values)
        return found.sql.replace("%(states)s", bind(found.parameters["states"]))

    def compares(self, operator: LiteralString, value: str, bind: Bind) -> LiteralString:
        """See `SearchField`."""
        return TextField("(" + WORD_SQL + ")").compares(operator, value, bind)

    def matches(self, pattern: str, bind: Bind) -> LiteralString:
        """See `SearchField`."""
        return TextField("(" + WORD_SQL + ")").matches(pattern, bind)


@dataclass(frozen=True, slots=True)
class TimeField:
    """A time, compared as it is shown: in UTC, without fractions of a second."""

    sql: LiteralString

    @property
    def order(self) -> LiteralString | None:
        """See `SearchField`."""
        return self.sql

    @property
    def missing(self) -> LiteralString:
        """See `SearchField`."""
        return self.sql + " is null"

    def equals(self, values: Sequence[str], bind: Bind) -> LiteralString:
        """See `SearchField`."""
        starts = [_instant(value) for value in values if not _DAY.fullmatch(value)]
        within = [
            "(" + self.sql + " >= " + bind(start) + " and " + self.sql + " < " + bind(start + _SECOND) + ")"
            for start in starts
            if not start.microsecond
        ]
        return "(" + " or ".join(within or ["false"]) + ")"

    def compares(self, operator: LiteralString, value: str, bind: Bind) -> LiteralString:
        """See `SearchField`. A day sorts before all its times, as its text does."""
        start, is_day = _instant(value), _DAY.fullmatch(value) is not None
        is_behind = operator in (">", "<=") and not is_day
        if is_behind or start.microsecond:  # the whole second is equal
            start = start.replace(microsecond=0) + _SECOND
        return self.sql + (" >= " if operator in (">", ">=") else " < ") + bind(start)

    def matches(self, pattern: str, bind: Bind) -> LiteralString:
        """See `SearchField`."""
        text: LiteralString = "to_char(" + self.sql + " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        return TextField(text).matches(pattern, bind)


@dataclass(frozen=True, slots=True)
class TagsField:
    """The tags: a comparison holds if it holds for any of them."""

    order: LiteralString | None = "t.tags"
    missing: LiteralString = "false"

    def equals(self, values: Sequence[str], bind: Bind) -> LiteralString:
        """See `SearchField`."""
        return "(t.tags <> '{}' and t.tags && " + bind(stored_tags(values)) + ")"

    def are(self, values: Sequence[str], bind: Bind) -> LiteralString:
        """The condition that the tags are exactly these, in this order."""
        each = [
            "t.tags[" + str(number) + "] = any (" + bind(stored_tags([tag])) + ")" for number, tag in _counted(values)
        ]
        return "(" + " and ".join(["cardinality(t.tags) = " + str(len(values)), *each]) + ")"

    def compares(self, operator: LiteralString, value: str, bind: Bind) -> LiteralString:
        """See `SearchField`: the tag as shown."""
        shown: LiteralString = "(case when g.tag ~ ':.*:' then g.tag else 'pulp:tag:' || g.tag end)"
        return self._any(TextField(shown).compares(operator, value, bind))

    def matches(self, pattern: str, bind: Bind) -> LiteralString:
        """See `SearchField`: the tag as submitted, or as shown."""
        stored = TextField("g.tag").matches(pattern, bind)
        shown = TextField("('pulp:tag:' || g.tag)").matches(pattern, bind)
        return self._any("(" + stored + " or g.tag !~ ':.*:' and " + shown + ")")

    def _any(self, condition: LiteralString) -> LiteralString:
        return "exists (select from unnest(t.tags) g (tag) where " + condition + ")"


@dataclass(frozen=True, slots=True)
class JsonField:
    """A value that can only be searched for being present."""

    sql: LiteralString
    missing: LiteralString
    order: LiteralString | None = None

    def equals(self, values: Sequence[str], bind: Bind) -> LiteralString:
        """Raises `BadInput`."""
        raise BadInput("it can only be searched by null and $exists")

    def compares(self, operator: LiteralString, value: str, bind: Bind) -> LiteralString:
        """Raises `BadInput`."""
        return self.equals([value], bind)

    def matches(self, pattern: str, bind: Bind) -> LiteralString:
        """Raises `BadInput`."""
        return self.equals([pattern], bind)


def uuid_of(text: str) -> UUID | None:
    """The UUID; None for any other text, which cannot be the id of a task."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _counted(values: Sequence[str]) -> list[tuple[int, str]]:
    return list(enumerate(values, 1))


def _instant(text: str) -> datetime:
    """The time of a text; one without a zone is in UTC, as Pulp 2 writes all times."""
    found = time_of(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    if found is None or found.year > _LAST_YEAR:
        raise BadInput(f"{text!r} is not a time such as 2026-11-24T12:00:00Z")
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


_ERROR: Final[LiteralString] = (
    "(case when t.state in ('successful', 'failed', 'cancelled', 'skipped') then t.error end)"  # as reports show it
)
_NO_ERROR: Final[LiteralString] = _ERROR + " is null"
_LOGIN: Final[LiteralString] = (
    "(case when starts_with(t.created_by, 'user:') then substr(t.created_by, 6) else t.created_by end)"
)
_ID: Final = IdField("t.task_id", order="t.accepted_at")
_MONGO_ID: Final = IdField("t.task_id", order="t.accepted_at", text="left(replace(t.task_id::text, '-', ''), 24)")
_TASK_ID: Final = IdField("t.task_id", order="t.task_id")
_GROUP: Final = IdField("t.group_id", order="t.group_id", is_nullable=True, otherwise="t.task_id")
SEARCHED: Final[Mapping[str, SearchField]] = {
    "id": _ID,
    "_id": _MONGO_ID,
    "task_id": _TASK_ID,
    "call_request_id": _TASK_ID,
    "group_id": IdField("t.group_id", order="t.group_id", is_nullable=True),
    "task_group_id": _GROUP,
    "call_request_group_id": _GROUP,
    "state": StateField(),
    "task_type": TextField("t.operation"),
    "tags": TagsField(),
    "call_request_tags": TagsField(),
    "queue": TextField("t.queue"),
    "worker_name": TextField("(case when t.state <> 'waiting' then t.worker end)", is_nullable=True),
    "principal_login": TextField(_LOGIN),
    "start_time": TimeField("t.started_at"),
    "finish_time": TimeField("t.finished_at"),
    "submit_time": TimeField("t.accepted_at"),
    "result": JsonField("t.result", missing="t.result::text = 'null'"),
    "error": JsonField(_ERROR, missing=_NO_ERROR),
    "error.code": TextField("(" + _ERROR + " ->> 'code')", is_nullable=True),
    "error.description": TextField("(" + _ERROR + " ->> 'description')", is_nullable=True),
    "exception": JsonField(_ERROR, missing=_NO_ERROR),
    "traceback": TextField("nullif(" + _ERROR + " ->> 'traceback', '')", is_nullable=True),
    "progress": JsonField("t.progress", missing="false"),
    "progress_report": JsonField("t.progress", missing="false"),
}
"""The fields that filters may name; those with an `order` may be sorted by."""


def task_field(name: str, bind: Bind) -> SearchField:
    """The field of tasks. Raises `BadInput`."""
    return found_in(SEARCHED, name)


def found_in(fields: Mapping[str, SearchField], name: str) -> SearchField:
    """The field of this name. Raises `BadInput`."""
    if name not in fields:
        raise BadInput(f"{name}: no such field; these can be searched: {', '.join(fields)}")
    return fields[name]


def orders_of(fields: Mapping[str, SearchField]) -> dict[str, LiteralString]:
    """The fields that can be sorted by, and their expressions."""
    return {name: field.order for name, field in fields.items() if field.order is not None}
