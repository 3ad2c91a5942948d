"""The parts of a v2 report that are computed: the class of an exception, and ids of MongoDB's form."""

import traceback
from uuid import UUID

import pytest
from pulp_api.v2.criteria import Search, columns_of
from pulp_api.v2.report import exception_of, oid_of, report
from pulp_events.events import TaskError
from pulp_events.ids import new_id
from pulp_events.schedule_events import tag_of
from pulp_events.task import Ignored, Position, evolve
from pulp_projections.reading.queries import task_row

from tests.support.events import accepted


class FeedBroken(Exception):
    """An error of an operation."""


def trace_of(error: BaseException) -> str:
    """The traceback of an error that was raised."""
    try:
        raise error
    except BaseException as raised:
        return "".join(traceback.format_exception(raised))


def chained() -> str:
    try:
        try:
            raise KeyError("x")
        except KeyError as error:
            raise OSError("no route\nsecond: line") from error
    except OSError as raised:
        return "".join(traceback.format_exception(raised))


@pytest.mark.parametrize(
    ("trace", "name"),
    [
        (trace_of(FeedBroken("a: b")), "FeedBroken"),
        (trace_of(KeyboardInterrupt()), "KeyboardInterrupt"),
        (chained(), "OSError"),
        ("pulp_x.errors.Broken: y", "Broken"),
        (None, "it was lost"),
        ("", "it was lost"),
    ],
)
def test_the_exception_is_the_class_that_was_raised(trace: str | None, name: str) -> None:
    assert exception_of(TaskError("operation-failed", "it was lost", trace)) == name


def test_an_id_has_24_digits_and_keeps_the_order_of_ids() -> None:
    made = [new_id() for _ in range(50)]
    oids = [oid_of(each) for each in made]
    assert len(set(oids)) == 50
    assert all(len(oid) == 24 and int(oid, 16) >= 0 for oid in oids)
    assert oid_of(UUID(int=0x123456789ABCDEF0 << 64)) == "123456789abcdef000000000"


@pytest.mark.parametrize("further", [(), ("pulp:action:sync", "night")])
def test_a_report_names_the_schedule_that_made_the_task(further: tuple[str, ...]) -> None:
    schedule_id = new_id()
    for tags, expected in ((further, None), ((*further, tag_of(schedule_id)), str(schedule_id))):
        task = evolve(None, accepted(tags=tags), Position(0, 0), 0)
        assert not isinstance(task, Ignored)
        assert report(task_row(task, []))["schedule_id"] == expected


def test_a_search_for_it_reads_what_it_is_made_of() -> None:
    assert columns_of(Search(fields=frozenset({"schedule_id"}))) == {"tags"}
