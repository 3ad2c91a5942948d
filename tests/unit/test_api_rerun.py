"""What a rerun carries over from the first run, and what follows from its changed arguments."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from pulp_api.submitting.rerun import Rerun, parse, submission_of
from pulp_api.submitting.submission import accepted as accepted_of
from pulp_api.submitting.submission import drafted
from pulp_events.errors import BadInput
from pulp_events.events import Access, Resource
from pulp_events.ids import new_id
from pulp_events.task import Position, Task, evolve
from pulp_projections.reading.queries import OperationRow, TaskRow, task_row

from tests.support.events import accepted

ZOO, BAR, CDS = Resource("repository", "zoo"), Resource("repository", "bar"), Resource("cds", "a")
SHARED_ZOO = Resource("repository", "zoo", Access.SHARED)
ORPHANS = Resource("content_unit", "orphans", Access.SHARED)
DECLARED = [{"type": "repository", "id": "{repo_id}", "access": "exclusive"}]
WITH_ORPHANS = [*DECLARED, {"type": "content_unit", "id": "orphans", "access": "shared"}]


def operation(resources: list[dict[str, str]] | None = None, tags: list[str] | None = None) -> OperationRow:
    return OperationRow("sync", True, "", DECLARED if resources is None else resources, tags)


def task(arguments: str = '{"repo_id": "zoo"}', resources: tuple[Resource, ...] = (ZOO,), **data: Any) -> TaskRow:
    event = accepted(arguments=Raw(arguments.encode()), resources=resources, **data)
    made = evolve(None, event, Position(0, 0), 0)
    assert isinstance(made, Task)
    return task_row(made, [])


def rerun(before: TaskRow, known: OperationRow, **changed: Any) -> Any:
    """The fields of the event that a rerun appends."""
    change = parse(msgspec.json.encode(changed))
    return msgspec.json.decode(msgspec.json.encode(accepted_of(drafted(submission_of(before, change, known), known))))


def test_without_a_change_it_is_the_same_again() -> None:
    before = task(
        '{"repo_id":"zoo","n":1.0,"big":123456789012345678901}',
        (CDS, ZOO, ZOO, SHARED_ZOO),
        tags=("mine", "pulp:action:sync"),
        queue="slow",
        priority=7,
        timeout_seconds=60,
    )
    submission = submission_of(before, Rerun(), operation())
    data = accepted_of(drafted(submission, operation()))
    assert bytes(data.arguments) == b'{"repo_id":"zoo","n":1.0,"big":123456789012345678901}'
    assert data.resources == (CDS, ZOO, ZOO, SHARED_ZOO)
    assert data.tags == ("mine", "pulp:action:sync")
    assert (data.operation, data.queue, data.priority, data.timeout_seconds) == ("sync", "slow", 7, 60)


def test_what_the_first_run_waited_for_and_belonged_to_is_not_carried_over() -> None:
    before = task(depends_on=(new_id(),), parent_id=new_id(), group_id=new_id())
    data = accepted_of(drafted(submission_of(before, Rerun(), operation()), operation()))
    assert (data.depends_on, data.parent_id, data.group_id) == ((), None, None)


def test_a_change_takes_the_place_of_what_has_its_name() -> None:
    before = task('{"repo_id":"zoo","feed":"a","force":true}', queue="slow", priority=7, timeout_seconds=60)
    changed = rerun(
        before, operation(), arguments={"feed": "b", "force": None, "new": [1]}, queue="q", priority=0,
        timeout_seconds=None,
    )  # fmt: skip
    assert changed["arguments"] == {"repo_id": "zoo", "feed": "b", "new": [1]}
    assert (changed["queue"], changed["priority"], changed["timeout_seconds"]) == ("q", 0, None)


def test_resources_and_tags_that_were_declared_follow_the_arguments() -> None:
    before = task(tags=("pulp:repository:zoo", "pulp:action:sync"))
    changed = rerun(before, operation(), arguments={"repo_id": "bar"})
    assert changed["resources"] == [{"type": "repository", "id": "bar", "access": "exclusive"}]
    assert changed["tags"] == ["pulp:repository:bar", "pulp:action:sync"]


def test_tags_by_a_template_follow_as_well() -> None:
    known = operation(tags=["pulp:repository:{repo_id}"])
    changed = rerun(task(tags=("pulp:repository:zoo",)), known, arguments={"repo_id": "bar"})
    assert changed["tags"] == ["pulp:repository:bar"]


@pytest.mark.parametrize(
    ("used", "again"),
    [
        ((ZOO, CDS), (BAR, CDS)),  # the client's own additions stay
        ((CDS, ZOO), (CDS, BAR)),  # in its place: the first one decides the partition
        ((SHARED_ZOO,), (SHARED_ZOO, BAR)),  # the client's own access mode stays
        ((), (BAR,)),
        ((BAR, ZOO), (BAR,)),  # it is there already
    ],
)
def test_only_what_was_declared_is_exchanged(used: tuple[Resource, ...], again: tuple[Resource, ...]) -> None:
    change = Rerun(arguments=Raw(b'{"repo_id":"bar"}'))
    assert submission_of(task(resources=used), change, operation()).resources == again


def test_tags_that_the_client_named_stay() -> None:
    changed = rerun(task(tags=("nightly",)), operation(), arguments={"repo_id": "bar"})
    assert changed["tags"] == ["nightly"]


def test_what_is_declared_by_now_comes_to_what_was_used_then() -> None:
    """Without the new resource, the operation would refuse to run."""
    assert submission_of(task(), Rerun(), operation(WITH_ORPHANS)).resources == (ZOO, ORPHANS)


def test_a_declaration_that_the_first_arguments_do_not_fill_is_filled_by_the_new_ones() -> None:
    before, change = task("{}", (CDS,), tags=("a",)), Rerun(arguments=Raw(b'{"repo_id":"bar"}'))
    submission = submission_of(before, change, operation())
    assert (submission.resources, submission.tags) == ((CDS, BAR), ("a",))


def test_arguments_that_do_not_fill_the_declaration_are_refused() -> None:
    with pytest.raises(BadInput, match="operation sync needs the argument 'repo_id'"):
        rerun(task(), operation(), arguments={"repo_id": None})


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"arguments": {}}'])
def test_bodies_that_change_nothing(body: bytes) -> None:
    assert submission_of(task(), parse(body), operation()) == submission_of(task(), Rerun(), operation())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"[]", "it must be an object, not a list"),
        (b'{"operation": "publish"}', "operation is not a known field"),
        (b'{"priority": 1001}', "priority must be a whole number of at most 1000"),
        (b'{"queue": ""}', "queue must be a text"),
        (b'{"queue": null}', "queue must be a text"),
        (b"\xff", "cannot be used"),
        (b'{"arguments": []}', "arguments must be a JSON object"),
        (b'{"arguments": null}', "arguments must be a JSON object"),
    ],
)
def test_bodies_that_are_refused(body: bytes, told: str) -> None:
    with pytest.raises(BadInput) as raised:
        submission_of(task(), parse(body), operation())
    assert told in str(raised.value)
