"""What keeps a batch from being written twice, early or by two processors. Small and quick: the mutation test runs it."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from pulp_events.ids import new_id
from pulp_processor import small_batch
from pulp_processor.projector import FenceLost, GapInBatch, Projector

from tests.support.events import accepted, finished, progress, started
from tests.support.projection import rows
from tests.support.records import records

TASK = UUID("e0e0a250-eded-468f-9d97-0419a00b130f")
LIFE = records([accepted(TASK), started(TASK), progress(TASK, sequence=1), finished(TASK)])


@pytest.fixture(params=["small", "large"])
async def pair(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Projector, Projector]]:
    """Two processors' projectors of partition 0, both where it begins; batches go either way into Postgres."""
    if request.param == "large":
        monkeypatch.setattr(small_batch, "MOST_RECORDS", 0)
    one, other = Projector(database, 0), Projector(database, 0)
    for projector in (one, other):
        await projector.locate()
    yield one, other
    for projector in (one, other):
        await projector.close()


async def offsets(database: str) -> list[int]:
    return [row["record_offset"] for row in await rows(database, "task_events")]


async def position(database: str) -> int:
    return int(next(row["next_offset"] for row in await rows(database, "positions") if row["partition"] == 0))


async def test_of_two_processors_one_writes(database: str, pair: tuple[Projector, Projector]) -> None:
    one, other = pair
    await one.project(LIFE[:2])
    with pytest.raises(FenceLost):
        await other.project(records([accepted(new_id())]))  # other events at offsets that are taken
    assert (await offsets(database), await position(database)) == ([0, 1], 2)
    assert [row["task_id"] for row in await rows(database, "tasks")] == [TASK]
    assert await other.locate() == 2
    await other.project(LIFE[2:])
    with pytest.raises(FenceLost):
        await one.project(LIFE[2:3])
    assert (await offsets(database), await position(database)) == ([0, 1, 2, 3], 4)


async def test_a_batch_that_begins_too_late_is_not_written(database: str, pair: tuple[Projector, Projector]) -> None:
    with pytest.raises(GapInBatch):
        await pair[0].project(LIFE[1:])
    assert (await offsets(database), await position(database)) == ([], 0)


async def test_a_batch_with_a_hole_is_not_written(database: str, pair: tuple[Projector, Projector]) -> None:
    with pytest.raises(GapInBatch):
        await pair[0].project([LIFE[0], *LIFE[2:]])
    assert (await offsets(database), await position(database)) == ([], 0)


async def test_what_comes_again_or_overlaps_is_written_once(database: str, pair: tuple[Projector, Projector]) -> None:
    projector = pair[0]
    for batch in (LIFE[:2], LIFE[:2], LIFE[:3], LIFE[1:], LIFE):
        await projector.project(batch)
    assert (await offsets(database), await position(database)) == ([0, 1, 2, 3], 4)
    assert [(row["state"], row["version"]) for row in await rows(database, "tasks")] == [("successful", 4)]


async def test_a_row_is_never_replaced_by_an_older_one(database: str, pair: tuple[Projector, Projector]) -> None:
    one, other = pair
    await other.project(LIFE[:2])
    await one.locate()
    await one.project(LIFE[2:])
    other.next_offset = 4  # past the fence, and it still takes the task for running
    await other.project(records([progress(TASK, sequence=2)], start=4))
    assert [(row["state"], row["version"]) for row in await rows(database, "tasks")] == [("successful", 4)]
