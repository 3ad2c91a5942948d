"""A fold that begins before its batch's turn has the same result as one that does not, wherever it is interrupted."""

import asyncio
from random import Random

import pytest
from pulp_events.task import State
from pulp_projections.writing import history_rows
from pulp_projections.writing.batch_fold import BatchFold
from pulp_projections.writing.fold import Fold, fold, task_ids

from tests.support.events import TASK, accepted, finished, started
from tests.support.records import records, story

LOG = records(story(Random(1), 20, 400))
FIRST, SECOND = LOG[:150], LOG[150:]


def pair() -> tuple[BatchFold, BatchFold]:
    first = BatchFold(FIRST, task_ids(FIRST), {})
    return first, BatchFold(SECOND, task_ids(SECOND), {}, after=first)


def plain() -> tuple[bytes, Fold]:
    """The second batch's rows and fold; it knows the first batch's tasks."""
    before = Fold({})
    list(before.history(FIRST))
    fold = Fold({task.task_id: task for task in before.changes().created})
    return b"".join(history_rows.binary(fold.history(SECOND))), fold


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 1000])
async def test_it_goes_on_where_it_was_interrupted(turns: int) -> None:
    rows, fold = plain()
    first, second = pair()
    async with second.ahead():
        first_rows = b"".join(first.history())
        for _ in range(turns):
            await asyncio.sleep(0)
    assert first_rows == b"".join(history_rows.binary(Fold({}).history(FIRST)))
    assert b"".join(second.history()) == rows
    assert second.changes() == fold.changes()


async def test_rows_are_taken_while_others_are_made() -> None:
    rows, fold = plain()
    first, second = pair()
    list(first.history())
    taken = []
    async with second.ahead():
        for part in second.history():
            taken.append(part)
            await asyncio.sleep(0)
    assert b"".join(taken) == rows
    assert second.changes() == fold.changes()


async def test_it_waits_for_the_batch_before() -> None:
    first, second = pair()
    async with second.ahead():
        for _ in range(10):
            await asyncio.sleep(0)
        assert second.changes().created == []
        assert first.changes().created == []


async def test_nothing_runs_on_after_an_error() -> None:
    first, second = pair()
    list(first.history())

    async def fails() -> None:
        async with second.ahead():
            await asyncio.sleep(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_fails_early_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = pair()
    list(first.history())

    def fails(_: Fold, task_ids: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Fold, "evolved", fails)
    with pytest.raises(ZeroDivisionError):
        async with second.ahead():
            await asyncio.sleep(0)


def test_what_a_batch_knows_is_current_although_its_fold_has_not_begun() -> None:
    """The batch in between does not change the task, so the one after it must learn about the first."""
    (waiting,) = fold(records([accepted()]), {})[1].created
    first = BatchFold(records([started()], start=1), {TASK}, {TASK: waiting})
    between = BatchFold(records([accepted()], start=2), {TASK}, {TASK: waiting}, after=first)
    list(first.history())
    known = between.known_before({TASK})
    assert known[TASK].state is State.RUNNING
    list(between.history())
    last = BatchFold(records([finished()], start=3), {TASK}, known, after=between)
    list(last.history())
    assert [task.state for task in last.changes().updated] == [State.SUCCESSFUL]
