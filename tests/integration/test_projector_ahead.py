"""A batch that is folded while the one before it is written: what happens in between, and that there is only one
fold."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import psycopg
import pytest
from pulp_events.ids import new_id
from pulp_events.reader import Record
from pulp_projections.writing import projector as projecting
from pulp_projections.writing import small_batch
from pulp_projections.writing.batch_fold import BatchFold
from pulp_projections.writing.projector import Projector
from pulp_projections.writing.target import FenceLost

from tests.support.events import accepted, event
from tests.support.projection import execute, rows
from tests.support.records import record, records, story
from tests.support.truth import rows_are_what_records_say

LOG = records(story(Random(1), 8, 120))
FIRST, SECOND, THIRD = LOG[:40], LOG[40:90], LOG[90:]


@pytest.fixture(autouse=True)
def all_batches_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", 0)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often a fold of a batch began, by the batch's first offset."""
    begun: Counter[int] = Counter()

    def counted(records: list[Record], *args: Any, **kwargs: Any) -> BatchFold:
        begun[records[0].offset] += 1
        return BatchFold(records, *args, **kwargs)

    monkeypatch.setattr(projecting, "BatchFold", counted)
    return begun


async def test_each_batch_is_folded_once(projector: Projector, database: str, begun: Counter[int]) -> None:
    await projector.project(FIRST, lambda: SECOND)
    await projector.project(SECOND, lambda: THIRD)
    await projector.project(THIRD)
    assert begun == {0: 1, 40: 1, 90: 1}
    await rows_are_what_records_say(database, {0: LOG})


async def test_another_batch_than_was_told(projector: Projector, database: str) -> None:
    await projector.project(FIRST, lambda: LOG[40:])
    await projector.project(SECOND, lambda: LOG[90:100])
    await projector.project(THIRD)
    await rows_are_what_records_say(database, {0: LOG})


async def test_another_processor_writes_the_batch_that_was_begun(projector: Projector, database: str) -> None:
    other = Projector(database, 0)
    await projector.project(FIRST, lambda: SECOND)
    await other.locate()
    await other.project(SECOND)
    await other.close()
    with pytest.raises(FenceLost):
        await projector.project(SECOND, lambda: THIRD)
    assert asyncio.all_tasks() == {asyncio.current_task()}  # nothing goes on folding the third
    assert await projector.locate() == 90
    await projector.project(THIRD)
    await rows_are_what_records_say(database, {0: LOG})


async def test_another_processor_writes_all_but_the_last_batch(projector: Projector, database: str) -> None:
    other = Projector(database, 0)
    await other.locate()
    await other.project(FIRST)
    with pytest.raises(FenceLost):
        await projector.project(FIRST, lambda: SECOND)
    await other.project(SECOND, lambda: THIRD)
    await projector.locate()
    await projector.project(THIRD)
    with pytest.raises(FenceLost):
        await other.project(THIRD)
    await other.close()
    await rows_are_what_records_say(database, {0: LOG})


async def test_another_partition_makes_the_task_of_the_batch_that_was_begun(
    projector: Projector, database: str
) -> None:
    task_id = new_id()
    again = event(accepted().data, task_id=task_id)
    last = [record(again, len(LOG))]
    await projector.project(LOG, lambda: last)
    other = Projector(database, 1)
    await other.locate()
    await other.project([record(again, 0, partition=1)])
    await other.close()
    await projector.project(last)
    assert [row["partition"] for row in await rows(database, "tasks") if row["task_id"] == task_id] == [1]
    found = await execute(
        database, "select partition, effect from task_events where task_id = %s order by 1", [task_id]
    )
    assert found == [(0, "wrong partition"), (1, "applied")]


async def test_the_connection_breaks_before_the_batch_that_was_begun(
    projector: Projector, database: str, begun: Counter[int]
) -> None:
    await projector.project(FIRST, lambda: SECOND)
    await execute(
        database,
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pulp-processor/0'"
        " and datname = current_database()",
    )
    with pytest.raises(psycopg.OperationalError):
        await projector.project(SECOND, lambda: THIRD)
    assert await projector.locate() == 40
    await projector.project(SECOND, lambda: THIRD)
    await projector.project(THIRD)
    assert begun[40] == 2  # what was known on the broken connection is discarded
    await rows_are_what_records_say(database, {0: LOG})
