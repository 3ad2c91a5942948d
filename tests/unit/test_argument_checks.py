"""The API's check and a worker's decoder accept the same arguments; messages for the rest."""

import datetime
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example as with_example
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct
from pulp_api.submitting.argument_words import example, parameters
from pulp_api.submitting.arguments import InvalidArguments, checker
from pulp_events.errors import BadInput
from pulp_operations import publish, remove_orphans, sync
from pulp_worker import Operation, operation
from pulp_worker.arguments import REMEMBERED, HttpUrl, RepositoryId, decode
from pulp_worker.arguments import BadArguments as Undecodable

Short = Annotated[str, Meta(min_length=1, max_length=3, pattern="^[a-z]+$")]


class Inner(Struct, forbid_unknown_fields=True):
    name: Short
    urls: list[HttpUrl] = []  # msgspec copies it


@dataclass
class Wide:
    count: Annotated[int, Meta(ge=1, le=9)]
    half: Annotated[float, Meta(gt=0, lt=1)] | None = None
    mode: Literal["fast", "safe"] = "fast"
    when: Annotated[datetime.datetime, Meta(tz=True)] | None = None
    day: datetime.date | None = None
    span: datetime.timedelta | None = None
    key: uuid.UUID | None = None
    price: Decimal | None = None
    either: int | str = 0
    inner: Inner | None = None
    some: Annotated[list[bool], Meta(max_length=2)] | None = None
    table: dict[str, int] | None = None


class Tree(Struct):
    left: "Tree | None" = None


class Feeds(Struct, kw_only=True):
    repo_id: RepositoryId
    first: Annotated[HttpUrl, REMEMBERED]
    second: Annotated[HttpUrl | None, REMEMBERED] = None


def declared(name: str, kind: type[Any]) -> Operation:
    return operation(name, arguments=kind)(lambda context: None)


wide, tree, feeds = declared("wide", Wide), declared("tree", Tree), declared("feeds", Feeds)


def at_the_door(of: Operation, arguments: dict[str, Any]) -> str | None:
    """The API's answer, by a new checker, which remembers nothing."""
    by = checker(of.name, json.dumps(of.schema))
    try:
        left_out = by.check(arguments)
    except InvalidArguments as error:
        return str(error)
    return f"left out: {left_out}" if left_out else None


def at_the_worker(of: Operation, arguments: dict[str, Any]) -> str | None:
    assert of.arguments is not None
    assert of.schema is not None
    try:
        decode(msgspec.json.decode(msgspec.json.encode(arguments)), of.arguments, of.schema, of.name)
    except Undecodable as error:
        return str(error)
    return None


URLS = st.sampled_from(["http://h/", "https://me:x@h/", "https://h/?token=x", "ftp://h/", "h", "", "http://h:99999/"])
TEXTS = st.one_of(URLS, st.text(max_size=5), st.sampled_from(["zoo", "a", "abcd", "fast", "slow", "x" * 201]))
TIMES = st.sampled_from(
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00",
        "2026-01-31",
        "2026-02-31",
        "PT1H",
        "P1Y",
        "1.5",
        str(uuid.UUID(int=7)),
        uuid.UUID(int=7).hex,
    ]
)
NUMBERS = st.one_of(st.integers(-2, 70), st.sampled_from([0.5, 1.0, 2.5, 1e300, 2**70]), st.booleans())
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS, TIMES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["name", "urls", "left", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


def arguments_for(of: Operation) -> st.SearchStrategy[dict[str, Any]]:
    """Valid arguments, up to three of them replaced; among the names is one that the operation does not have."""
    assert of.schema is not None
    names = [*of.schema["properties"], "other"]
    right = st.sampled_from([{}, example(of.name, of.schema)["arguments"]])
    changed = st.dictionaries(st.sampled_from(names), VALUES, max_size=3)
    return st.tuples(right, changed).map(lambda both: both[0] | both[1])


CASES = st.sampled_from([sync, publish, remove_orphans, wide, tree, feeds]).flatmap(
    lambda of: st.tuples(st.just(of), arguments_for(of))
)


@given(CASES)
@with_example((sync, {"repo_id": "zoo", "feed": "http://h/", "concurrency": 4.0}))
@with_example((sync, {"repo_id": "zoo", "feed": "http://h/", "concurrency": True}))
@with_example((publish, {"repo_id": "zoo", "packages_url": None}))
@with_example((wide, {"count": 1, "half": 1}))
@with_example((wide, {"count": 1, "inner": {"name": "a", "urls": ["http://me:x@h/"]}}))
@settings(max_examples=600, deadline=None)
def test_the_door_and_the_worker_take_the_same(case: tuple[Operation, dict[str, Any]]) -> None:
    of, arguments = case
    refused, failed = at_the_door(of, arguments), at_the_worker(of, arguments)
    assert (refused is None) == (failed is None), (of.name, arguments, refused, failed)


@pytest.mark.parametrize("of", [sync, publish, remove_orphans, wide, tree, feeds])
def test_an_example_is_taken_by_both(of: Operation) -> None:
    shown = example(of.name, of.schema)
    assert shown["operation"] == of.name
    assert at_the_door(of, shown["arguments"]) is None
    assert at_the_worker(of, shown["arguments"]) is None


@pytest.mark.parametrize(
    ("of", "arguments", "told"),
    [
        (wide, {}, "count: this argument is required: a whole number from 1 to 9"),
        (wide, {"count": "x"}, "count: a whole number from 1 to 9 is expected"),
        (wide, {"count": 1, "half": 2}, "half: a number above 0 and below 1 is expected"),
        (wide, {"count": 1, "mode": "x"}, 'mode: one of "fast", "safe" is expected'),
        (wide, {"count": 1, "when": "now"}, "when: a time (RFC 3339) is expected"),
        (wide, {"count": 1, "either": None}, "either: a whole number or a text is expected"),
        (wide, {"count": 1, "some": [True, 1]}, "some[1]: true or false is expected"),
        (wide, {"count": 1, "some": [True] * 3}, "some: a list of at most 2 items is expected"),
        (wide, {"count": 1, "table": {"a": "x"}}, "table.a: a whole number is expected"),
        (wide, {"count": 1, "table": {"Bearer s3cr3t": "x"}}, "table....: a whole number is expected"),
        (
            wide,
            {"count": 1, "inner": {"name": "ABC"}},
            "inner.name: a text of 1 to 3 characters that matches ^[a-z]+$ is expected",
        ),
        (wide, {"count": 1, "inner": {}}, "inner.name: this argument is required: a text of 1 to 3 characters that"),
        (wide, {"count": 1, "inner": {"name": "a", "x": 1}}, "inner.x: there is no argument 'x' (it takes name, urls)"),
        (
            wide,
            {"count": 1, "inner": {"name": "a", "urls": ["http://me:s3cr3t@h/"]}},
            "inner.urls[0]: a URL with a user name or password is refused",
        ),
        (tree, {"left": {"left": 1}}, "left.left: an object or null is expected"),
        (remove_orphans, {"a": 1}, "a: there is no argument 'a' (it takes content_type)"),
    ],
)
def test_what_is_told(of: Operation, arguments: dict[str, Any], told: str) -> None:
    said = str(at_the_door(of, arguments))
    assert said.startswith(f"operation {of.name}: {told}")
    assert "s3cr3t" not in said


def test_what_is_remembered_may_be_left_out_of_a_submission() -> None:
    by = checker("feeds", json.dumps(feeds.schema))
    assert by.check({"repo_id": "zoo"}) == ("first",)
    assert by.check({"repo_id": "zoo", "first": "http://h/"}) == ()


def test_arguments_that_are_nested_too_deeply_are_refused() -> None:
    value: Any = None
    for _ in range(900):
        value = {"left": value}
    with pytest.raises(BadInput, match="nested too deeply"):
        checker("tree", json.dumps(tree.schema)).check(value)


def test_a_check_is_compiled_once() -> None:
    text = json.dumps(sync.schema)
    assert checker("sync", text) is checker("sync", text)


def test_arguments_in_words() -> None:
    assert wide.schema is not None
    assert [(each.name, each.type, each.expected) for each in parameters(wide.schema)] == [
        ("count", "integer", "a whole number from 1 to 9"),
        ("half", "number or null", "a number above 0 and below 1 or null"),
        ("mode", "fast|safe", 'one of "fast", "safe"'),
        ("when", "time or null", "a time (RFC 3339) or null"),
        ("day", "date or null", "a date (YYYY-MM-DD) or null"),
        ("span", "duration or null", "a duration (ISO 8601) or null"),
        ("key", "uuid or null", "a UUID or null"),
        ("price", "decimal or null", "a decimal number as a text or null"),
        ("either", "integer or text", "a whole number or a text"),
        ("inner", "object or null", "an object or null"),
        ("some", "list or null", "a list of at most 2 items or null"),
        ("table", "object or null", "an object or null"),
    ]
