"""The daily statistics: buckets of durations, and what a batch adds to the counts."""

from datetime import date
from random import Random
from uuid import UUID

from msgspec.structs import replace
from pulp_events.events import Outcome
from pulp_events.task import Task
from pulp_projections.daily.buckets import RELATIVE_ERROR, bucket_of, milliseconds_of
from pulp_projections.daily.fold import NEVER_RAN, added, cell_of, kind_of
from pulp_projections.writing.fold import fold

from tests.support.events import accepted, attempt_failed, cancel_requested, finished, purged, started
from tests.support.records import NOON_MS, SHARED_BAR, ZOO, records

TASK = UUID("e0e0a250-eded-468f-9d97-0419a00b130f")
NOON_DAY = date(2026, 11, 24).toordinal() - date(1970, 1, 1).toordinal()


def test_a_bucket_stands_for_its_durations_within_the_error() -> None:
    random = Random(1)
    spans = [*range(5000), *(random.randrange(2 ** random.randint(12, 48)) for _ in range(20_000))]
    for span in spans:
        told = milliseconds_of(bucket_of(span))
        assert abs(told - span) <= RELATIVE_ERROR * span, span


def test_buckets_are_in_the_order_of_durations_and_leave_none_out() -> None:
    edges = sorted({2**power + step for power in range(48) for step in (-1, 0, 1)})
    found = [bucket_of(span) for span in (*range(2000), *(edge for edge in edges if edge >= 2000))]
    assert found == sorted(found)
    assert {bucket_of(span) for span in range(100_000)} == set(range(bucket_of(99_999) + 1))
    assert (bucket_of(-1), bucket_of(0), bucket_of(31), bucket_of(32), bucket_of(33)) == (0, 0, 31, 32, 32)
    assert bucket_of(253_402_300_799_000) < 2**15  # what a smallint holds


def test_a_task_counts_once_when_it_ends() -> None:
    told = records(
        [
            accepted(TASK, resources=(ZOO, SHARED_BAR, ZOO)),
            started(TASK),
            attempt_failed(TASK),
            started(TASK, attempt=2),
            finished(TASK, outcome=Outcome.FAILED),
            purged(TASK),
        ]
    )
    tasks: dict[UUID, Task] = {}
    counted = []
    for each in told:
        changes = fold([each], tasks)[1]
        tasks |= {task.task_id: task for task in (*changes.created, *changes.updated)}
        counted.append(changes.days)
    assert [len(cells) for cells in counted] == [0, 0, 0, 0, 1, 0]
    [(cell, number)] = counted[4].items()
    assert (number, cell.partition, cell.day, cell.state) == (1, 0, NOON_DAY, "failed")
    assert (cell.kind.operation, cell.kind.resources) == ("sync", ("repository:bar", "repository:zoo"))
    assert (cell.waited, cell.ran) == (bucket_of(3000), bucket_of(1000))  # an event a second
    assert fold(told, {})[1].days == counted[4]


def test_a_task_that_never_ran_has_waited_only() -> None:
    [cell] = fold(
        records([accepted(TASK), cancel_requested(TASK), finished(TASK, attempt_id=None, outcome=Outcome.CANCELLED)]),
        {},
    )[1].days
    assert (cell.state, cell.waited, cell.ran) == ("cancelled", bucket_of(2000), NEVER_RAN)


def test_clocks_that_are_set_back_or_tell_nonsense_are_borne() -> None:
    [task] = fold(records([accepted(TASK), started(TASK), finished(TASK)]), {})[1].created
    back = cell_of(replace(task, started_at_ms=NOON_MS - 5000, finished_at_ms=NOON_MS - 9000))
    assert (back.day, back.waited, back.ran) == (NOON_DAY, 0, 0)
    assert cell_of(replace(task, accepted_at_ms=-1, finished_at_ms=2**62)).day == date.max.toordinal() - 719_163


def test_a_kind_is_what_tasks_do_and_to_what() -> None:
    kinds = [
        kind_of("sync", ("a", "b")),
        *(kind_of("sync", resources) for resources in ((), ("a",), ("a,b",), ("a", "b", "c"))),
        kind_of("publish", ("a", "b")),
        kind_of('sync","a', ("b",)),
    ]
    assert len({kind.key for kind in kinds}) == len(kinds)
    assert kind_of("sync", ("b", "a", "b")) == kinds[0]


def test_a_task_that_had_ended_before_adds_nothing() -> None:
    [task] = fold(records([accepted(TASK), started(TASK), finished(TASK)]), {})[1].created
    assert not added([], [replace(task, purged_at_ms=1)], {TASK: task})
