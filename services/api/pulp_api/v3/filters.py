"""The filters and the orders of Pulp 3's list of tasks. Pure.

Each condition is written so that an index serves it where there is one; all of them end in the order of acceptance.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from pulp_events.errors import BadInput
from pulp_projections.reading.queries import Condition

from pulp_api.failures import FieldErrors
from pulp_api.submitting.submission import task_id_of
from pulp_api.times import time_of
from pulp_api.v3.resources import EXCLUSIVE, RESERVED, SHARED, using
from pulp_api.v3.tasks import STATES, names_of

Values = Sequence[str]
_TIMES: Final[Mapping[str, LiteralString]] = {
    "pulp_created": "t.accepted_at",
    "started_at": "t.started_at",
    "finished_at": "t.finished_at",
    "unblocked_at": "t.started_at",
}
_COMPARISONS: Final[Mapping[str, LiteralString]] = {"": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_ORDERS: Final[Mapping[str, LiteralString]] = {
    "pulp_created": "t.accepted_at",
    "pulp_last_updated": "t.updated_at",
    "pulp_id": "t.task_id",
    "pk": "t.task_id",
    "state": "t.state",
    "name": "t.operation",
    "logging_cid": "t.correlation_id",
    "started_at": "t.started_at",
    "finished_at": "t.finished_at",
    "unblocked_at": "t.started_at",
    "error": "t.error::text",
    "result": "t.result::text",
    "reserved_resources_record": "t.exclusive_resources",
}
_NEVER_NULL: Final = frozenset({"t.accepted_at", "t.updated_at", "t.task_id", "t.state", "t.operation"})
_ALL_EQUAL: Final = frozenset(
    {"immediate", "deferred", "versions", "profile_options", "pulp_api_version", "enc_args", "enc_kwargs"}
)
"""What Pulp 3 can be ordered by, and is the same for every task here."""
_DIGITS: Final = frozenset("0123456789abcdef")
NOT_FILTERS: Final = frozenset({"limit", "offset", "ordering", "fields", "exclude_fields", "minimal"})


def condition_of(name: str, values: Values) -> Condition:
    """The condition of one query parameter. Raises `FieldErrors` as Pulp 3 answers for a bad one."""
    field, _, lookup = name.partition("__")
    joined = names_of(values)
    if field in _TIMES:
        return _time_condition(name, _TIMES[field], lookup, values[-1], joined)
    maker = _FILTERS.get(name)
    if maker is None:
        raise FieldErrors({"errors": [f"Invalid Filter: '{name}'"]})
    return maker(name, values[-1], joined)


def is_filter(name: str) -> bool:
    """Whether there is such a filter."""
    field, _, lookup = name.partition("__")
    return name in _FILTERS or (field in _TIMES and lookup in (*_COMPARISONS, "range", "isnull"))


def order_of(texts: Values) -> LiteralString:
    """The ORDER BY of `ordering`; the newest first where nothing else decides."""
    parts: list[LiteralString] = []
    for item in ",".join(texts).split(","):
        name = item.strip().removeprefix("-")
        if not name or name in _ALL_EQUAL:
            continue
        column = _ORDERS.get(name)
        if column is None:
            raise FieldErrors(
                {"ordering": [f"Select a valid choice. {item.strip()} is not one of the available choices."]}
            )
        is_falling = item.strip().startswith("-")
        if column in _NEVER_NULL:  # then an index has the order
            parts.append(column + (" desc" if is_falling else " asc"))
        else:
            parts.append(column + (" desc nulls last" if is_falling else " asc nulls first"))
    return ", ".join([*parts, "t.accepted_at desc", "t.task_id desc"])


def _time_condition(name: str, column: LiteralString, lookup: str, value: str, values: Values) -> Condition:
    if lookup == "isnull":
        return Condition(column + " is null" if _is_true(value) else column + " is not null")
    if lookup == "range":
        if len(values) != 2:
            raise FieldErrors({name: ["Range query expects two values."]})
        bounds = [_instant(name, text) for text in values]
        sql = column + " between %(" + _literal(name) + "_from)s and %(" + _literal(name) + "_to)s"
        return Condition(sql, {f"{name}_from": bounds[0], f"{name}_to": bounds[1]})
    comparison = _COMPARISONS.get(lookup)
    if comparison is None:
        raise FieldErrors({"errors": [f"Invalid Filter: '{name}'"]})
    bound: LiteralString = "%(" + _literal(name) + ")s"
    before = _accepted_before(column, bound) if comparison in ("<", "<=") else ""
    return Condition(column + " " + comparison + " " + bound + before, {name: _instant(name, value)})


def _accepted_before(column: LiteralString, bound: LiteralString) -> LiteralString:
    """What follows from `column <= bound`, and lets the index in the order of acceptance begin there.

    With an hour's room: after a change of its leader a partition's clock may go back.
    """
    return "" if column == "t.accepted_at" else " and t.accepted_at <= " + bound + " + interval '1 hour'"


def _literal(name: str) -> LiteralString:
    """The name of a parameter that is in the tables above, as the literal that stands there."""
    return next(
        literal
        for field in _TIMES
        for literal in (field, *(f"{field}__{lookup}" for lookup in (*_COMPARISONS, "range")))
        if literal == name
    )


def _instant(name: str, text: str) -> datetime:
    found = time_of(text)
    if found is None:
        raise FieldErrors({name: ["Enter a valid date/time."]})
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _states(name: str, words: Values, *, strict: bool) -> list[str]:
    unknown = [word for word in words if word not in STATES]
    if unknown and strict:
        raise FieldErrors({name: [f"Select a valid choice. {unknown[0]} is not one of the available choices."]})
    return [STATES[word].value for word in words if word in STATES]


def _uuids(name: str, values: Values) -> list[UUID]:
    try:
        return [UUID(value.rsplit(":", 1)[-1]) for value in values]
    except ValueError:
        raise FieldErrors({name: ["Enter a valid UUID."]}) from None


def _beginning(name: str, text: str) -> Condition:
    """The tasks whose ids begin with these digits: a range of the primary key."""
    digits = text.replace("-", "").lower()
    if not 1 <= len(digits) <= 32 or not set(digits) <= _DIGITS:
        raise FieldErrors({name: ["Enter the first hexadecimal digits of a UUID."]})
    bounds = {"pulp_id_from": UUID(digits.ljust(32, "0")), "pulp_id_to": UUID(digits.ljust(32, "f"))}
    return Condition("t.task_id between %(pulp_id_from)s and %(pulp_id_to)s", bounds)


def _related(text: str) -> UUID:
    try:
        return UUID(text.rsplit(":", 1)[-1]) if text.startswith("prn:") else task_id_of(text)
    except (BadInput, ValueError):
        raise FieldErrors([f"URI couldn't be resolved: {text}"]) from None


def _group(text: str) -> UUID:
    return _related(text.replace("/task-groups/", "/tasks/"))


def _unless(value: str, sql: LiteralString) -> LiteralString:
    """The condition of an `__isnull` filter."""
    return "not " + sql if _is_true(value) else sql


def _is_true(value: str) -> bool:
    return value.lower() in ("true", "1")


def _counted(sql: LiteralString, parameters: Mapping[str, Any]) -> Condition:
    return Condition(sql, parameters, is_counted=True)


Maker = Callable[[str, str, Values], Condition]
_FILTERS: Final[Mapping[str, Maker]] = {
    "state": lambda n, v, _: _counted("t.state = %(state)s", {n: _states(n, [v], strict=True)[0]}),
    "state__in": lambda n, _, vs: _counted("t.state = any (%(state__in)s)", {n: _states(n, vs, strict=False)}),
    "state__ne": lambda n, v, _: _counted("t.state <> all (%(state__ne)s)", {n: _states(n, [v], strict=True)}),
    "name": lambda n, v, _: _counted("t.operation = %(name)s", {n: v}),
    "name__contains": lambda n, v, _: _counted("position(%(name__contains)s in t.operation) > 0", {n: v}),
    "name__in": lambda n, _, vs: _counted("t.operation = any (%(name__in)s)", {n: list(vs)}),
    "name__ne": lambda n, v, _: _counted("t.operation <> %(name__ne)s", {n: v}),
    "logging_cid": lambda n, v, _: Condition("t.correlation_id = %(logging_cid)s", {n: v}),
    "logging_cid__contains": lambda n, v, _: Condition(
        "position(%(logging_cid__contains)s in t.correlation_id) > 0", {n: v}
    ),
    "parent_task": lambda n, v, _: Condition("t.parent_id = %(parent_task)s", {n: _related(v)}),
    "child_tasks": lambda n, v, _: Condition(
        "t.task_id = (select c.parent_id from tasks c where c.task_id = %(child_tasks)s)", {n: _related(v)}
    ),
    "task_group": lambda n, v, _: Condition("t.group_id = %(task_group)s", {n: _group(v)}),
    "rerun_of": lambda n, v, _: Condition(
        "t.task_id in (select k.task_id from task_causes k where k.cause = %(rerun_of)s)", {n: _related(v)}
    ),
    "rerun_of__isnull": lambda _n, v, _: Condition(
        _unless(v, "exists (select from task_causes k where k.task_id = t.task_id)")
    ),
    "reruns__isnull": lambda _n, v, _: Condition(
        _unless(v, "exists (select from task_causes k where k.cause = t.task_id)")
    ),
    "tags": lambda n, _, vs: Condition("t.tags <> '{}' and t.tags @> %(tags)s", {n: list(vs)}),
    "created_resources": lambda _n, _v, _: Condition("false"),
    "worker": lambda _n, _v, _: Condition("false"),
    "reserved_resources": lambda n, v, _: using(RESERVED, "reserved_resources", [v]),
    "reserved_resources__in": lambda n, _, vs: using(RESERVED, "reserved_resources__in", vs),
    "exclusive_resources": lambda n, v, _: using(EXCLUSIVE, "exclusive_resources", [v]),
    "exclusive_resources__in": lambda n, _, vs: using(EXCLUSIVE, "exclusive_resources__in", vs),
    "shared_resources": lambda n, v, _: using(SHARED, "shared_resources", [v]),
    "shared_resources__in": lambda n, _, vs: using(SHARED, "shared_resources__in", vs),
    "pulp_id__in": lambda n, _, vs: Condition("t.task_id = any (%(pulp_id__in)s)", {n: _uuids(n, vs)}),
    "pulp_id__startswith": lambda n, v, _: _beginning(n, v),
    "prn__in": lambda n, _, vs: Condition("t.task_id = any (%(prn__in)s)", {n: _uuids(n, vs)}),
    "pulp_href__in": lambda n, _, vs: Condition(
        "t.task_id = any (%(pulp_href__in)s)", {n: [_related(value) for value in vs]}
    ),
}
