"""Concurrent projectors: on one partition, on several, with any split into batches."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pulp_events.ids import new_id
from pulp_events.reader import Record
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector
from pulp_projections.writing.target import FenceLost, GapInBatch, OutOfPlace

from tests.support.events import accepted, event
from tests.support.projection import execute, rows
from tests.support.records import garbage, record, records, story
from tests.support.truth import rows_are_what_records_say


class Projectors:
    """Creates projectors on one database, and closes them."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._made: list[Projector] = []

    async def one(self, partition: int = 0) -> Projector:
        """A projector that knows its position."""
        self._made.append(Projector(self._database, partition))
        await self._made[-1].locate()
        return self._made[-1]

    async def close(self) -> None:
        for projector in self._made:
            await projector.close()


@pytest.fixture(autouse=True, params=[0, 100], ids=["copied", "one-statement"])
def most_records_of_a_small_batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are two ways to write a batch; everything here holds for both."""
    monkeypatch.setattr(small_batch, "MOST_RECORDS", request.param)


@pytest.fixture
async def projectors(database: str) -> AsyncIterator[Projectors]:
    made = Projectors(database)
    yield made
    await made.close()


async def test_two_projectors_at_the_same_time_write_what_one_writes(projectors: Projectors, database: str) -> None:
    log = records(story(Random(1), 20, 400))

    async def all_of_it(projector: Projector, size: int) -> int:
        lost = 0
        while projector.next_offset < len(log):
            try:
                await projector.project(log[projector.next_offset : projector.next_offset + size])
            except FenceLost:
                lost += 1
                await projector.locate()
        return lost

    pair = [await projectors.one(), await projectors.one()]
    lost = await asyncio.gather(all_of_it(pair[0], 7), all_of_it(pair[1], 11))
    assert sum(lost) > 0  # they were in each other's way
    await rows_are_what_records_say(database, {0: log})


async def test_who_comes_late_changes_nothing(projectors: Projectors, database: str) -> None:
    log = records(story(Random(2), 5, 50))
    first, second = await projectors.one(), await projectors.one()
    await first.project(log)
    before = [await rows(database, table) for table in ("tasks", "task_events", "dead_letters", "positions")]
    with pytest.raises(FenceLost):
        await second.project(log)  # it believes that it is at 0
    assert await second.locate() == len(log)
    for again in (log, log[10:20], log[:1], log[-1:]):
        assert await second.project(again) == len(log)
    assert [await rows(database, table) for table in ("tasks", "task_events", "dead_letters", "positions")] == before


@pytest.mark.parametrize("missing", [slice(0, 1), slice(3, 4), slice(5, 9)])
async def test_nothing_of_a_batch_with_a_gap_is_written(missing: slice, projectors: Projectors, database: str) -> None:
    log = records(story(Random(3), 3, 20))
    projector = await projectors.one()
    with pytest.raises(GapInBatch):
        await projector.project([*log[: missing.start], *log[missing.stop :]])
    assert await rows(database, "task_events") == []
    assert await rows(database, "tasks") == []
    assert projector.next_offset == 0
    await projector.project(log)
    await rows_are_what_records_say(database, {0: log})


async def test_one_event_in_two_partitions_at_once_is_one_task(projectors: Projectors, database: str) -> None:
    pair = [await projectors.one(0), await projectors.one(1)]
    for offset in range(20):
        same = event(accepted().data, task_id=new_id())
        await asyncio.gather(
            *(projector.project([record(same, offset, partition)]) for partition, projector in enumerate(pair))
        )
    effects = await execute(database, "select task_id, array_agg(effect order by effect) from task_events group by 1")
    assert [found for _, found in effects] == [["applied", "wrong partition"]] * 20
    history = await execute(database, "select task_id, partition from task_events where effect = 'applied'")
    assert await execute(database, "select task_id, partition from tasks order by 1") == sorted(history)


@pytest.fixture
async def one_at_a_time(projectors: Projectors, database: str) -> tuple[list[Record], list[Any]]:
    """A log with events of every kind and other records, and the rows that it gives one record at a time."""
    random = Random(4)
    log = [
        garbage(random.choice([None, b"", b"{}"]), offset) if random.random() < 0.1 else record(event, offset)
        for offset, event in enumerate(story(random, 6, 60))
    ]
    projector = await projectors.one()
    for item in log:
        await projector.project([item])
    await rows_are_what_records_say(database, {0: log})
    return log, await contents(database)


async def contents(database: str) -> list[Any]:
    counters = [row for row in await rows(database, "task_counts") if row["tasks"]]  # one at zero is like none
    tables = ("tasks", "task_resources", "task_causes", "task_events", "dead_letters", "positions")
    return [counters, *[await rows(database, table) for table in tables]]


@given(
    st.lists(st.integers(0, 63), max_size=8), st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63)), max_size=3)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_split_gives_the_rows_of_one_event_at_a_time(
    one_at_a_time: tuple[list[Record], list[Any]],
    database: str,
    cuts: list[int],
    again: Sequence[tuple[int, int]],
) -> None:
    log, wanted = one_at_a_time
    await execute(
        database,
        "truncate generation_1.tasks, generation_1.task_counts, generation_1.task_days, generation_1.task_resources,"
        " generation_1.task_causes, generation_1.task_events, generation_1.dead_letters",
    )
    await execute(database, "update generation_1.positions set next_offset = 0")
    batches = [log[start:end] for start, end in pairwise([0, *sorted(cuts), len(log)])]
    for start, end in again:  # a record comes twice, too early or too late
        batches.insert(start % (len(batches) + 1), log[min(start, end) : max(start, end)])
    projector = Projector(database, 0)
    await projector.locate()
    for batch, following in pairwise([*batches, log, []]):
        with contextlib.suppress(OutOfPlace):
            await projector.project(batch, lambda following=following: following)  # type: ignore[misc]
    await projector.close()
    assert await contents(database) == wanted
