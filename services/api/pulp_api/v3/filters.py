"""The filters and the orders of Pulp 3's list of tasks. Pure.

Each condition is written so that an index can serve it, if there is one; all orders end with the order of acceptance.
"""

from collections.abc import Iterator, Mapping
from typing import Final, LiteralString
from urllib.parse import unquote
from uuid import UUID

import msgspec
from pulp_events.errors import BadInput
from pulp_events.plain_words import REFUSALS
from pulp_projections.reading.queries import PURGED, SHOWN, Condition
from pulp_projections.reading.unblocked import UNBLOCKED_AT

from pulp_api.submitting.json_numbers import check_numbers
from pulp_api.v3 import unblocked
from pulp_api.v3.declared_filters import (
    TIMES,
    DeclaredFilters,
    ListFilter,
    Texts,
    choices,
    column,
    either,
    flag,
    nothing,
    value_type,
    where,
    where_list,
)
from pulp_api.v3.dialect import FieldErrors
from pulp_api.v3.identity import identity
from pulp_api.v3.ordering import ALL_EQUAL, order_by, ordering
from pulp_api.v3.parameters import TEXT, QueryParameter, controls
from pulp_api.v3.references import Kind, check_any, uuid_of
from pulp_api.v3.resources import EXCLUSIVE, RESERVED, SHARED, using
from pulp_api.v3.tasks import STATES

_STATE_WORD: Final[LiteralString] = (
    "(case t.state when 'cancelling' then 'canceling' when 'cancelled' then 'canceled'"
    " when 'successful' then 'completed' else t.state end)"
)
"""The state in Pulp 3's word, by which its lists are ordered."""
_RECORD: Final[LiteralString] = (
    "(t.exclusive_resources || array(select 'shared:' || k.key"
    " from unnest(t.shared_resources) with ordinality k (key, n) order by k.n))"
)
"""The resources as Pulp 3 writes them."""
_ORDERS: Final[Mapping[str, LiteralString]] = {
    "pulp_created": "t.accepted_at",
    "pulp_last_updated": "t.updated_at",
    "pulp_id": "t.task_id",
    "pk": "t.task_id",
    "state": _STATE_WORD,
    "name": "t.operation",
    "logging_cid": "coalesce(t.correlation_id, '')",
    "started_at": "t.started_at",
    "finished_at": "t.finished_at",
    "unblocked_at": UNBLOCKED_AT,
    "error": "t.error::text",
    "result": "nullif(t.result::text, 'null')",
    "reserved_resources_record": _RECORD,
    **dict.fromkeys(
        ("immediate", "deferred", "versions", "profile_options", "pulp_api_version", "enc_args", "enc_kwargs"),
        ALL_EQUAL,
    ),
}
_IS_RERUN: Final[LiteralString] = "exists (select from task_causes k where k.task_id = t.task_id)"
_HAS_RERUNS: Final[LiteralString] = "exists (select from task_causes k where k.cause = t.task_id)"
_DIGITS: Final = frozenset("0123456789abcdef")
_DIGITS_OF_AN_ID: Final = {**TEXT, "pattern": "^-*([0-9a-fA-F]-*){1,32}$"}


def order_of(texts: Texts) -> LiteralString:
    """The ORDER BY of `ordering`; newest first as the last criterion."""
    return order_by(texts, _ORDERS, "t.accepted_at desc, t.task_id desc")


def _task_of(name: str, text: str) -> UUID:
    return uuid_of(name, Kind.TASK, text)


def _group_of(name: str, text: str) -> UUID:
    return uuid_of(name, Kind.GROUP, text)


def _actor_of(_: str, text: str) -> str:
    """The actor that a user's name or href stands for."""
    prefix = Kind.USER.href("").rstrip("/")
    name = unquote(text.removeprefix(prefix).strip("/")) if text.startswith(prefix) else text
    return f"user:{name}"


def _first_digits(name: LiteralString) -> Iterator[ListFilter]:
    """The filter by the first digits of a task's id: a range of the primary key."""
    sql: LiteralString = "t.task_id between %(pulp_id_from)s and %(pulp_id_to)s"

    def condition(texts: Texts) -> Condition:
        digits = texts[-1].replace("-", "").lower()
        if not 1 <= len(digits) <= 32 or not set(digits) <= _DIGITS:
            raise FieldErrors({name: ["Enter the first hexadecimal digits of a UUID."]})
        return Condition(sql, {"pulp_id_from": UUID(digits.ljust(32, "0")), "pulp_id_to": UUID(digits.ljust(32, "f"))})

    yield ListFilter(QueryParameter(name, _DIGITS_OF_AN_ID), condition, if_empty=None)


def _object(name: str, text: str) -> str:
    """JSON in the form that Postgres accepts."""
    try:
        found = msgspec.json.decode(text)
    except REFUSALS:
        found = None
    if not isinstance(found, dict):
        raise FieldErrors({name: ['Enter a JSON object, such as {"feed": "URL"}.']})
    try:
        check_numbers(text.encode(errors="replace"), "it")
    except BadInput as error:
        raise FieldErrors({name: [str(error)]}) from None
    return text


_STATE: Final = choices({word: state.value for word, state in STATES.items()})
_OTHER_STATE: Final = value_type(TEXT, lambda _name, word: STATES[word].value if word in STATES else "")
"""No task is in the state of an unknown word, which Pulp 3 takes here."""
_OBJECT: Final = value_type(TEXT, _object)
_TASK: Final = value_type(TEXT, _task_of)
_GROUP: Final = value_type(TEXT, _group_of)
_USER: Final = value_type(TEXT, _actor_of)
_TIME_LOOKUPS: Final = "exact lt lte gt gte range isnull"

TASK_FILTERS: Final = DeclaredFilters(
    [*controls("limit offset fields exclude_fields minimal"), ordering(_ORDERS), QueryParameter("q", TEXT)],
    column("name", "t.operation", "exact contains in ne", is_counted=True),
    column("logging_cid", "t.correlation_id", "exact contains"),
    column("state", "t.state", "exact in", _STATE, is_counted=True),
    where("state__ne", "t.state <> {value}", _OTHER_STATE, is_counted=True),
    column("task_group", "t.group_id", "exact", _GROUP, needs_value=True),
    # A task that is purged is nobody's parent and nobody's child any more.
    where(
        "parent_task",
        "t.parent_id = (select p.task_id from tasks p where p.task_id = {value} and p.purged_at is null)",
        _TASK,
        needs_value=True,
    ),
    where(
        "child_tasks",
        "t.task_id = (select c.parent_id from tasks c where c.task_id = {value} and c.purged_at is null)",
        _TASK,
        needs_value=True,
    ),
    where("rerun_of", "t.task_id in (select k.task_id from task_causes k where k.cause = {value})", _TASK),
    flag("rerun_of__isnull", "not " + _IS_RERUN, _IS_RERUN),
    flag("reruns__isnull", "not " + _HAS_RERUNS, _HAS_RERUNS),
    # No index has it, so only the rows that other filters leave are read.
    where("arguments__contains", "t.arguments::jsonb @> {value}::jsonb", _OBJECT, needs_value=True),
    where_list("tags", "t.tags <> '{}' and t.tags @> {value}"),
    column("created_by", "t.created_by", "exact in ne", _USER),
    column("queue", "t.queue", "exact in ne"),
    nothing("worker"),
    nothing("created_resources", check_any),
    using("reserved_resources", RESERVED),
    using("exclusive_resources", EXCLUSIVE),
    using("shared_resources", SHARED),
    identity(Kind.TASK, "t.task_id"),
    _first_digits("pulp_id__startswith"),
    column("pulp_created", "t.accepted_at", _TIME_LOOKUPS, TIMES),
    column("started_at", "t.started_at", _TIME_LOOKUPS, TIMES, not_before="t.accepted_at"),
    column("finished_at", "t.finished_at", _TIME_LOOKUPS, TIMES, not_before="t.accepted_at"),
    either("purged", PURGED, SHOWN),
    unblocked.filters(),
)
