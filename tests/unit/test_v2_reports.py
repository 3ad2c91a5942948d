"""The parts of a v2 report that are computed: the class of an exception, and ids of MongoDB's form."""

import traceback
from uuid import UUID

import pytest
from pulp_api.v2.report import exception_of, oid_of
from pulp_events.events import TaskError
from pulp_events.ids import new_id


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
