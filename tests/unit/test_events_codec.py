"""Bytes ↔ events: whatever is written can be read, every event ever written decodes for ever, and everything else is
refused."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw
from pulp_events.codec import EVERY_TYPE, MAX_EVENT_BYTES, decode, encode, key_of, newer_version, type_of
from pulp_events.errors import EventTooLarge, InvalidEvent, UndecodableRecord
from pulp_events.events import (
    Accepted,
    Access,
    AttemptFailed,
    CancelRequested,
    Data,
    Event,
    Finished,
    Outcome,
    Progress,
    Purged,
    RequestFacts,
    Resource,
    Retry,
    Started,
    TaskError,
    UnknownEvent,
    Unparked,
    Unparking,
    json_value,
)
from pulp_events.task import Position, evolve
from pulp_events.upcasting import AcceptedV1, CancelRequestedV1, accepted_from_v1, cancel_requested_from_v1

from tests.support.events import (
    ATTEMPT,
    NOON,
    OTHER_ATTEMPT,
    TASK,
    accepted,
    event,
    finished,
    progress,
    purged,
    started,
)

GOLDEN = Path(__file__).parents[1] / "golden"
FIRST_LINES = (GOLDEN / "events-v1.jsonl").read_bytes().splitlines()
LINES = [*FIRST_LINES, *(GOLDEN / "events-v2.jsonl").read_bytes().splitlines()]

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
carried = values.map(lambda value: Raw(msgspec.json.encode(value)))
objects = st.dictionaries(text, values, max_size=5).map(lambda value: Raw(msgspec.json.encode(value)))
uuids = st.uuids()
errors = st.builds(TaskError, code=names, description=text, traceback=st.none() | text)
seconds = st.floats(0, 86_400)
retries = st.builds(Retry, st.integers(0, 100), seconds, seconds)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)
asked = st.just(UNSET) | st.builds(
    RequestFacts,
    authentication=names,
    address=st.none() | names.filter(lambda each: len(each) <= 64),
    client=st.none() | names,
)
datas: st.SearchStrategy[Data] = st.one_of(
    st.builds(
        Accepted,
        operation=names,
        arguments=objects,
        resources=st.lists(st.builds(Resource, names, names, st.sampled_from(Access)), max_size=4).map(tuple),
        tags=st.lists(names, max_size=4).map(tuple),
        queue=names,
        priority=st.integers(-1000, 1000),
        group_id=st.none() | uuids,
        parent_id=st.none() | uuids,
        depends_on=st.lists(uuids, max_size=3).map(tuple),
        timeout_seconds=st.none() | st.integers(1, 315_360_000),
        retry=st.just(UNSET) | st.none() | retries,
        deadline_seconds=st.just(UNSET) | st.none() | st.integers(1, 315_360_000),
        request=asked,
    ),
    st.builds(Started, attempt=st.integers(1, 2**31 - 1), attempt_id=uuids, worker=names, cancellable=st.booleans()),
    st.builds(Progress, attempt_id=uuids, sequence=st.integers(1, 2**63 - 1), progress=objects),
    st.builds(AttemptFailed, attempt_id=uuids, error=errors, retry_at=times),
    st.builds(CancelRequested, reason=st.none() | text.filter(lambda reason: len(reason) <= 1024), request=asked),
    st.builds(
        Finished,
        outcome=st.sampled_from(Outcome),
        attempt_id=st.none() | uuids,
        result=carried,
        error=st.none() | errors,
    ),
    st.builds(Purged, requested_by=names, filter=objects),
    st.builds(
        Unparked,
        action=st.sampled_from(Unparking),
        offset=st.integers(0, 2**63 - 1),
        reason=st.none() | text.filter(lambda reason: len(reason) <= 1024),
        request=asked,
    ),
)
events = st.builds(
    Event,
    id=uuids,
    task_id=uuids,
    time=times,
    actor=names,
    data=datas,
    source=names,
    correlation_id=st.none() | names,
    causation_id=st.none() | names,
    traceparent=st.none() | names,
)


@given(events)
@settings(max_examples=300, deadline=None)
def test_what_is_encoded_decodes_to_the_same_event(written: Event) -> None:
    value = encode(written)
    assert decode(key_of(written.task_id), value) == written
    assert encode(written) == value
    assert isinstance(json.loads(value), dict)  # plain JSON to anybody else


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(lambda some: some.encode("utf-8", "surrogatepass"))
    | values.map(msgspec.json.encode)
)
@settings(max_examples=300, deadline=None)
def test_any_other_bytes_are_refused_and_nothing_else_happens(value: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        decode(b"key", value)


@given(st.sampled_from(LINES), st.integers(0, 700), st.binary(min_size=1, max_size=3))
@settings(max_examples=500, deadline=None)
def test_a_damaged_event_decodes_or_is_refused(line: bytes, at: int, damage: bytes) -> None:
    with suppress(UndecodableRecord):  # and nothing else
        decode(key_of(TASK), line[:at] + damage + line[at + len(damage) :])


def test_the_golden_file_has_every_type_that_is_written() -> None:
    assert {json.loads(line)["type"] for line in LINES} == set(EVERY_TYPE.values())


@pytest.mark.parametrize("line", LINES, ids=lambda line: json.loads(line)["id"][-3:])
def test_a_golden_event_decodes_for_ever(line: bytes) -> None:
    found = decode(json.loads(line)["subject"].encode(), line)
    assert isinstance(found, Event)
    assert type_of(found) == json.loads(line)["type"]
    assert json.loads(encode(found)) == json.loads(line)


def test_the_golden_events_mean_what_they_meant() -> None:
    by_id = {line_id(line): decode(json.loads(line)["subject"].encode(), line) for line in FIRST_LINES}
    assert by_id["01"] == Event(
        id=UUID("0193f3f0-7a00-7000-8000-000000000001"),
        task_id=TASK,
        time=NOON,
        actor="user:admin",
        data=Accepted(
            operation="sync",
            arguments=Raw(b'{"repo_id":"ff7-e6","feed":"http://127.0.0.1:8000/zoo/"}'),
            resources=(
                Resource("repository", "ff7-e6", Access.EXCLUSIVE),
                Resource("content_unit", "orphans", Access.SHARED),
            ),
            tags=("pulp:repository:ff7-e6", "pulp:action:sync"),
        ),
    )
    second = by_id["02"]
    assert isinstance(second, Event)
    assert second.time == datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
    assert second.traceparent == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    retried, failed = by_id["0d"], by_id["0e"]
    assert isinstance(retried, Event)
    assert isinstance(retried.data, Accepted)
    assert (retried.data.retry, retried.data.deadline_seconds) == (Retry(3, 10.0, 600.0), 86_400)
    assert isinstance(failed, Event)
    assert failed.data == AttemptFailed(
        attempt_id=OTHER_ATTEMPT,
        error=TaskError("fetch-failed", "no route to host", "Traceback (most recent call last):\n"),
        retry_at=datetime(2026, 11, 24, 12, 0, 12, 500_000, UTC),
    )
    third = by_id["0a"]
    assert isinstance(third, Event)
    assert third.data == Finished(
        outcome=Outcome.SKIPPED,
        error=TaskError("dependency-failed", "A task that this one depends on did not succeed."),
    )


def test_version_2_says_how_it_was_asked() -> None:
    found = [decode(json.loads(line)["subject"].encode(), line) for line in LINES[len(FIRST_LINES) :]]
    requests = [each.data.request for each in found if isinstance(each, Event) and hasattr(each.data, "request")]
    assert requests == [
        RequestFacts(authentication="token", address="2001:db8::7", client="pulp-admin/0.1.0"),
        RequestFacts(authentication="schedule"),
        RequestFacts(authentication="basic", client="curl/8.5.0"),
        RequestFacts(authentication="remote-user"),
    ]


def test_version_1_means_version_2_of_which_nothing_is_known_of_the_request() -> None:
    first = AcceptedV1(operation="sync", queue="slow", priority=7, retry=Retry(3), deadline_seconds=5, tags=("a",))
    assert accepted_from_v1(first) == Accepted(
        operation="sync", queue="slow", priority=7, retry=Retry(3), deadline_seconds=5, tags=("a",)
    )
    assert cancel_requested_from_v1(CancelRequestedV1(reason="late")) == CancelRequested(reason="late")
    fields = set(Accepted.__struct_fields__) - {"request"}
    assert set(AcceptedV1.__struct_fields__) == fields  # an upcaster that forgets one would lose it
    everything = {name: getattr(accepted_from_v1(first), name) for name in fields}
    assert everything == {name: getattr(first, name) for name in fields}


def test_version_1_does_not_know_what_version_2_has() -> None:
    """In version 1 a field of this name is unknown, and is skipped."""
    found = decode(key_of(TASK), with_data(accepted(), request={"authentication": "token"}))
    assert isinstance(found, Event)
    assert isinstance(found.data, Accepted)
    assert found.data.request is UNSET


@pytest.mark.parametrize("kind", ["accepted", "cancel-requested"])
def test_a_newer_version_is_kept_and_has_no_effect(kind: str) -> None:
    newer = altered(accepted(), type=f"org.pulpproject.task.{kind}.v3", data={"anything": []})
    assert isinstance(decode(key_of(TASK), newer), UnknownEvent)


def line_id(line: bytes) -> str:
    return str(json.loads(line)["id"][-2:])


def altered(base: Event, **fields: Any) -> bytes:
    """The event's JSON with envelope fields replaced; None takes one away."""
    value = json.loads(encode(base)) | fields
    return json.dumps({name: field for name, field in value.items() if field is not None}).encode()


def with_data(base: Event, **fields: Any) -> bytes:
    value = json.loads(encode(base))
    value["data"] |= fields
    return json.dumps(value).encode()


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


POISON: dict[str, bytes | None] = {
    "no value": None,
    "empty": b"",
    "no JSON": b"hello",
    "no UTF-8": encode(accepted()).replace(b"sync", b"s\xffnc"),
    "UTF-16": encode(accepted()).decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + encode(accepted()),
    "cut off": encode(accepted())[:-1],
    "two values": encode(accepted()) * 2,
    "an array": b"[" + encode(accepted()) + b"]",
    "another specversion": altered(accepted(), specversion="0.3"),
    "no id": altered(accepted(), id=None),
    "an id that is no UUID": altered(accepted(), id="17"),
    "no subject": altered(accepted(), subject=None),
    "a subject that is no UUID": altered(accepted(), subject="task"),
    "another subject than the key": altered(accepted(), subject=str(ATTEMPT)),
    "no type": altered(accepted(), type=None),
    "an empty source": altered(accepted(), source=""),
    "no time": altered(accepted(), time=None),
    "a time without a zone": altered(accepted(), time="2026-11-24T12:00:00"),
    "a time that is none": altered(accepted(), time="yesterday"),
    "a time past year 9999 in UTC": altered(accepted(), time="9999-12-31T23:59:59-12:00"),
    "a time before year 1 in UTC": altered(accepted(), time="0001-01-01T00:00:00+12:00"),
    "no actor": altered(accepted(), actor=None),
    "an empty actor": altered(accepted(), actor=""),
    "a long actor": altered(accepted(), actor="a" * 256),
    "no data": altered(accepted(), data=None),
    "data of another type": altered(accepted(), data=json.loads(encode(started()))["data"]),
    "data in another content type": altered(accepted(), datacontenttype="text/xml"),
    "no operation": with_data(accepted(), operation=""),
    "version 2 without its request": altered(accepted(), type="org.pulpproject.task.accepted.v2"),
    "a cancel of version 2 without its request": altered(
        accepted(), type="org.pulpproject.task.cancel-requested.v2", data={"reason": None}
    ),
    "a request without authentication": altered(
        accepted(), type="org.pulpproject.task.cancel-requested.v2", data={"request": {"client": "curl"}}
    ),
    "arguments that are a list": with_data(accepted(), arguments=[1]),
    "arguments that are null": with_data(accepted(), arguments=None),
    "a priority out of range": with_data(accepted(), priority=1001),
    "an access that is none": with_data(accepted(), resources=[{"type": "a", "id": "b", "access": "some"}]),
    "a resource without id": with_data(accepted(), resources=[{"type": "a"}]),
    "too many resources": with_data(accepted(), resources=[{"type": "a", "id": str(n)} for n in range(101)]),
    "a long tag": with_data(accepted(), tags=["x" * 641]),
    "a time limit of nothing": with_data(accepted(), timeout_seconds=0),
    "attempt 0": with_data(started(), attempt=0),
    "an attempt past 31 bits": with_data(started(), attempt=2**31),
    "cancellable as text": with_data(started(), cancellable="yes"),
    "sequence 0": with_data(progress(), sequence=0),
    "a sequence past 63 bits": with_data(progress(), sequence=2**63),
    "progress that is text": with_data(progress(), progress="half"),
    "a specversion of many lines": altered(accepted(), specversion="1\n" * 100_000),
    "an outcome as long as a record": with_data(finished(), outcome="o" * 900_000),
    "an outcome that is none": with_data(finished(), outcome="ok"),
    "a purge by nobody": with_data(purged(), requested_by=""),
    "a filter that is a list": with_data(purged(), filter=[1]),
    "U+0000 in a value": with_data(progress(), progress={"a": "x\0y"}),
    "U+0000 in a key": with_data(progress(), progress={"a\0": 1}),
    "U+0000 in a list": with_data(finished(), result=[["\0"]]),
    "half a surrogate pair": with_data(progress(), progress={"a": "\ud800"}),
    "a number out of range": encode(progress(value={"a": 1})).replace(b'"a":1', b'"a":1e999'),
    "not a number": encode(progress(value={"a": 1})).replace(b'"a":1', b'"a":NaN'),
    "a deep nest": with_data(progress(), progress=nested(128)),
    "a nest of objects as dense as can be": encode(progress(value={"a": 1})).replace(
        b'"a":1', b'"":' + b'{"":' * 125 + b"{}" + b"}" * 125
    ),
    "a nest of arrays as dense as can be": encode(progress(value={"a": 1})).replace(
        b'"a":1', b'"":' + b"[" * 126 + b"]" * 126
    ),
    "a nest that is deeper than any stack": encode(progress(value={"a": 1})).replace(
        b'"a":1', b'"a":' + b"[" * 100_000 + b"]" * 100_000
    ),
}


@pytest.mark.parametrize("value", POISON.values(), ids=POISON)
def test_poison_is_refused_with_a_reason(value: bytes | None) -> None:
    with pytest.raises(UndecodableRecord) as caught:
        decode(key_of(TASK), value)
    assert caught.value.reason
    assert "\n" not in caught.value.reason
    assert len(caught.value.reason) < 400


def test_the_reason_for_a_long_value_says_where_it_is() -> None:
    with pytest.raises(UndecodableRecord, match=r"^no event: Invalid enum value 'ooo+ … o+' - at `\$\.outcome`$"):
        decode(key_of(TASK), with_data(finished(), outcome="o" * 900_000))


@pytest.mark.parametrize("key", [None, b"", b"x", str(TASK).upper().encode(), str(TASK).encode() + b" "])
def test_a_record_under_another_key_is_refused(key: bytes | None) -> None:
    with pytest.raises(UndecodableRecord, match="key is not the event's subject"):
        decode(key, encode(accepted()))


def test_what_is_allowed_at_the_edges() -> None:
    for value in (
        with_data(progress(), progress=nested(126)),
        with_data(progress(), progress={"a": [[]] * 500}),
        with_data(accepted(), tags=["☃" * 640], priority=-1000),
        with_data(progress(), progress={"a": "\\u0000"}),  # six characters, none of them U+0000
        altered(accepted(), somethingnew={"a": 1}, subject=str(TASK).upper()),
        with_data(started(), somethingnew=1),
    ):
        assert isinstance(decode(key_of(TASK), value), Event)


def test_an_event_of_a_type_that_is_not_known_is_kept_as_such() -> None:
    value = altered(accepted(), type="org.pulpproject.task.accepted.v3", data=[1, {"any": "thing"}])
    found = decode(key_of(TASK), value)
    assert isinstance(found, UnknownEvent)
    assert (found.task_id, found.type, type_of(found)) == (TASK, *["org.pulpproject.task.accepted.v3"] * 2)
    assert found.actor == "user:admin"


@pytest.mark.parametrize(
    "wrong",
    [
        event(Accepted(operation="")),
        event(Accepted(operation="x", arguments=Raw(b"[]"))),
        event(Accepted(operation="x", priority=5000)),
        event(Progress(attempt_id=ATTEMPT, sequence=0, progress=Raw(b"{}"))),
        event(Progress(attempt_id=ATTEMPT, sequence=1, progress=Raw(b"nonsense"))),
        event(Finished(outcome=Outcome.FAILED, error=TaskError("x", "a\0b"))),
        event(Finished(outcome=Outcome.FAILED, error=TaskError("x", "a file \udcff"))),
        event(Purged(requested_by="user:admin", filter=Raw(b"[]"))),
        event(
            AttemptFailed(attempt_id=ATTEMPT, error=TaskError("x", "why"), retry_at=datetime(9999, 1, 1, tzinfo=UTC))
        ),
        event(Accepted(operation="x", retry=Retry(retries=-1))),
        event(CancelRequested(), actor=""),
    ],
)
def test_an_event_that_could_not_be_read_is_not_written(wrong: Event) -> None:
    with pytest.raises(InvalidEvent):
        encode(wrong)


def test_a_large_event_is_refused_at_the_limit() -> None:
    def of_size(size: int) -> Event:
        result = Raw(b'"' + b"x" * size + b'"')
        return event(Finished(outcome=Outcome.FAILED, result=result), event_id=ATTEMPT)

    rest = len(encode(of_size(0)))
    assert len(encode(of_size(MAX_EVENT_BYTES - rest))) == MAX_EVENT_BYTES
    with pytest.raises(EventTooLarge) as caught:
        encode(of_size(MAX_EVENT_BYTES - rest + 1))
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (1_000_001, 1_000_000)


def test_carried_json_stays_the_bytes_that_it_came_as() -> None:
    found = decode(key_of(TASK), encode(accepted()).replace(b'"arguments":{}', b'"arguments":{"a":  1.50,"b":1e3 }'))
    assert isinstance(found, Event)
    assert isinstance(found.data, Accepted)
    assert bytes(found.data.arguments) == b'{"a":  1.50,"b":1e3 }'
    assert json_value(found.data.arguments) == {"a": 1.5, "b": 1000.0}


def test_an_event_is_printed_with_its_json_as_text() -> None:
    ended = event(Finished(outcome=Outcome.FAILED, result=Raw('{"ä": [1]}'.encode()), error=TaskError("x", "why")))
    assert """result={"ä": [1]}, error=TaskError(code='x', description='why', traceback=None)""" in str(ended)
    reported = event(Progress(attempt_id=ATTEMPT, sequence=1, progress=Raw(b'{"done": 3}')))
    assert """sequence=1, progress={"done": 3})""" in f"{reported!r}"
    hidden = event(Purged(requested_by="x", filter=Raw(b'{"states": ["failed"]}')))
    assert """requested_by='x', filter={"states": ["failed"]})""" in str(hidden)
    assert "arguments={}" in str(event(Accepted(operation="sync")))
    task = evolve(None, accepted(), Position(0, 0), 0)
    assert "arguments={" in str(task)
    assert "msgspec.Raw" not in str(task)


@pytest.mark.parametrize(
    ("kind", "is_newer"),
    [
        ("org.pulpproject.task.accepted.v3", True),
        ("org.pulpproject.task.started.v2", True),
        ("org.pulpproject.task.attempt-failed.v1000", True),
        ("org.pulpproject.task.accepted.v2", False),
        ("org.pulpproject.task.started.v1", False),
        ("org.pulpproject.task.started.v0", False),
        ("org.pulpproject.task.started.v01", False),
        ("org.pulpproject.task.started.v2x", False),
        ("org.pulpproject.task.renamed.v2", False),
        ("org.example.started.v2", False),
        ("v2", False),
    ],
)
def test_a_later_version_of_a_known_kind_is_told_from_other_types(kind: str, is_newer: bool) -> None:
    assert (newer_version(kind) is not None) is is_newer


def test_a_later_version_says_which_one_is_known() -> None:
    assert newer_version("org.pulpproject.task.accepted.v3") == (
        "version 3 of accepted is newer than this release: it knows those up to 2"
    )
