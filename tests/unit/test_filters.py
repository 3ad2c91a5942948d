"""The events that a filter selects, compared with an evaluation of every condition on the whole log."""

import json
from collections.abc import Sequence
from itertools import product
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulp_events.codec import EVERY_TYPE, encode, type_of
from pulp_events.errors import BadInput
from pulp_events.events import Access, Event, Resource, UnknownEvent
from pulp_events.filters import EVERYTHING, UNDECODABLE, Filter, Origin, Origins

from tests.support.events import NOON, accepted, cancel_requested, finished, progress, purged, started

A, B, C = (UUID(int=number) for number in (1, 2, 3))
G, H = UUID(int=10), UUID(int=11)
ZOO = Resource("repository", "zoo")
FARM = Resource("repository", "farm", Access.SHARED)
BY_JO = msgspec.structs.replace(accepted(B, operation="publish", resources=(FARM,), group_id=G), actor="user:jo")
UNKNOWN = UnknownEvent(id=UUID(int=20), task_id=A, time=NOON, actor="worker:w1", type="org.pulpproject.task.x.v1")
LOG: list[Event | UnknownEvent] = [
    accepted(A, operation="sync", resources=(ZOO, FARM), group_id=G),
    started(A),
    BY_JO,
    progress(A),
    started(C),  # nobody has submitted C yet
    UNKNOWN,
    finished(A),
    accepted(C, operation="sync", group_id=H),
    cancel_requested(B),
    cancel_requested(C),
    finished(B),
    accepted(A, operation="sync", resources=(ZOO, FARM), group_id=G),  # repeated
    purged(A),
]


def described(log: Sequence[Event | UnknownEvent], number: int) -> dict[str, set[Any]]:
    """What each field of a filter is compared with, from the JSON of the events."""
    event = log[number]
    documents = [json.loads(encode(each)) if isinstance(each, Event) else {} for each in log[: number + 1]]
    of_task = [
        each
        for each in documents
        if each.get("subject") == str(event.task_id) and each["type"] == "org.pulpproject.task.accepted.v1"
    ]
    first = of_task[0] if of_task else {"data": {"resources": []}}
    data = first["data"]
    return {
        "types": {event.type if isinstance(event, UnknownEvent) else documents[number]["type"]},
        "tasks": {str(event.task_id)},
        "operations": {data.get("operation")},
        "resources": {f"{each['type']}:{each['id']}" for each in data["resources"]},
        "actors": {first.get("actor")},
        "groups": {data.get("group_id")},
    }


CHOICES: dict[str, list[list[str]]] = {
    "types": [[], ["org.pulpproject.task.accepted.v1"], ["org.pulpproject.task.finished.v1", UNDECODABLE]],
    "tasks": [[], [str(A)], [str(B), str(C)]],
    "operations": [[], ["publish"], ["sync", "nothing"]],
    "resources": [[], ["repository:zoo"], ["repository:farm", "repository:x"]],
    "actors": [[], ["user:jo"], ["user:admin", "user:x"]],
    "groups": [[], [str(H)], [str(G), str(UUID(int=99))]],
}


def origins_in(log: Sequence[Event | UnknownEvent], memory: Origins) -> list[Origin | None]:
    look_up = memory.look_up(log)
    return look_up.origins()


def test_every_combination_of_conditions_on_every_event() -> None:
    origins = origins_in(LOG, Origins())
    facts = [described(LOG, number) for number in range(len(LOG))]
    for values in product(*CHOICES.values()):
        fields = dict(zip(CHOICES, values, strict=True))
        wanted = msgspec.json.decode(json.dumps(fields), type=Filter)
        for number, event in enumerate(LOG):
            expected = all(not asked or facts[number][name] & set(asked) for name, asked in fields.items())
            found = wanted.matches(type_of(event), event.task_id, origins[number])
            assert found is expected, (wanted, event)


def test_a_record_that_is_no_event() -> None:
    assert EVERYTHING.matches(UNDECODABLE, None, None)
    assert Filter(types=("undecodable",)).matches(UNDECODABLE, None, None)
    assert Filter(tasks=(A,)).matches(UNDECODABLE, A, None)  # its key names the task
    assert not Filter(tasks=(A,)).matches(UNDECODABLE, None, None)
    assert not Filter(types=("finished",)).matches(UNDECODABLE, None, None)
    assert not Filter(operations=("sync",)).matches(UNDECODABLE, A, None)


EVENTS = st.lists(
    st.sampled_from(
        [
            *(accepted(task, operation=str(task.int)) for task in (A, B, C)),
            *(started(task) for task in (A, B, C)),
            *(finished(task) for task in (A, B, C)),
            UNKNOWN,
        ]
    ),
    max_size=30,
)


@given(EVENTS, st.lists(st.integers(1, 8), min_size=30, max_size=30), st.integers(0, 3))
def test_the_origins_of_any_log_in_any_batches_with_little_memory(
    log: list[Event | UnknownEvent], sizes: list[int], most: int
) -> None:
    def first(number: int, task_id: UUID) -> Origin | None:
        """The origin of a task, from the log before the event."""
        return next(
            (
                Origin.of(each)
                for each in log[:number]
                if isinstance(each, Event) and each.task_id == task_id and Origin.of(each)
            ),
            None,
        )

    memory, found, done = Origins(most), [], 0
    for size in sizes:
        batch = log[done : done + size]
        look_up = memory.look_up(batch)
        found += look_up.origins({task_id: first(done, task_id) for task_id in look_up.missing})
        done += len(batch)
        assert len(memory) <= most
    # A second `accepted` repeats the first one here, as it does in a real log.
    assert found == [first(number + 1, event.task_id) for number, event in enumerate(log)]


def test_what_is_missing_is_what_only_a_look_up_can_tell() -> None:
    memory = Origins()
    assert memory.look_up([accepted(A), started(A), started(B)]).missing == {B}
    memory.look_up([accepted(A), started(B)]).origins()
    assert memory.look_up([finished(A), finished(B), finished(C)]).missing == {C}  # that B has none is remembered


def test_the_same_filter_in_other_words_is_equal_and_has_the_same_json() -> None:
    one = Filter(types=("finished", "org.pulpproject.task.accepted.v1"), tasks=(B, A), operations=("sync", "sync"))
    other = Filter(types=("accepted", "finished", "accepted"), tasks=(A, B), operations=("sync",))
    assert (one, hash(one)) == (other, hash(other))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Filter) == one
    assert msgspec.json.encode(EVERYTHING) == b"{}"
    assert repr(Filter(operations=("sync",))) == "Filter(operations=('sync',))"


def test_every_type_has_a_short_name() -> None:
    for literal in EVERY_TYPE.values():
        short = literal.split(".")[-2]
        assert Filter(types=(short,)).types == (f"org.pulpproject.task.{short}.v1",)


@pytest.mark.parametrize("spelt", ["accepted", "org.pulpproject.task.accepted.v1", "org.pulpproject.task.accepted.v2"])
def test_a_type_stands_for_all_its_versions(spelt: str) -> None:
    """A filter stored by an earlier release still finds its events."""
    wanted = Filter(types=(spelt,))
    found = [literal for literal in EVERY_TYPE.values() if wanted.matches(literal, A, None)]
    assert found == ["org.pulpproject.task.accepted.v1", "org.pulpproject.task.accepted.v2"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"types": ("done",)}, "type=done: no event has this type, these have: accepted, attempt-failed"),
        ({"resources": ("zoo",)}, "resource=zoo: TYPE:ID is expected"),
        ({"resources": (":zoo",)}, "resource=:zoo"),
        ({"actors": ("jo",)}, "actor=jo: user:NAME is expected"),
        ({"operations": "sync"}, r"operations='sync': a list of values is expected, such as \['sync'\]"),
        ({"types": "finished"}, "types='finished': a list of values is expected"),
        ({"operations": (5,)}, "operations: 5 is not a text"),
        ({"tasks": (str(A)[:8],)}, "tasks: '00000000' is not the id of a task, a UUID"),
        ({"groups": (5,)}, "groups: 5 is not the id of a group, a UUID"),
        ({"tasks": A}, "tasks='00000000-0000-0000-0000-000000000001': a list of ids is expected"),
        ({"operations": ("",)}, "operations: a value has 1 to 511 characters"),
        ({"operations": ("x" * 512,)}, "operations: a value has 1 to 511 characters"),
        ({"operations": tuple(map(str, range(101)))}, "operations: 101 values, and a filter takes at most 100"),
    ],
)
def test_what_no_event_can_have_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        Filter(**fields)


def test_an_id_may_be_a_text() -> None:
    wanted = Filter(tasks=(str(A),), groups=[str(B)])  # type: ignore[arg-type,list-item]  # as untyped code may
    assert wanted == Filter(tasks=(A,), groups=(B,))


@pytest.mark.parametrize("text", ['{"type": ["finished"]}', '{"tasks": ["x"]}', '{"operations": [""]}', "[]"])
def test_json_that_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Filter)
