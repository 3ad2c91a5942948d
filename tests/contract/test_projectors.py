"""The guards against writing a batch twice, early or by two processors. Small and quick, since the mutation tests run
it.

The projector into Postgres, with either way of writing, and the one in memory pass the same tests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple
from uuid import UUID

import pytest
from pulp_events.ids import new_id
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector
from pulp_projections.writing.target import FenceLost, GapInBatch

from tests.model.histories import Projects
from tests.model.memory_read_model import MemoryProjector, MemoryReadModel
from tests.support.events import accepted, finished, progress, started
from tests.support.projection import rows
from tests.support.records import records

TASK = UUID("e0e0a250-eded-468f-9d97-0419a00b130f")
LIFE = records([accepted(TASK), started(TASK), progress(TASK, sequence=1), finished(TASK)])


class Seen(NamedTuple):
    """The read model's rows of partition 0."""

    offsets: list[int]
    position: int
    tasks: list[tuple[UUID, str, int]]
    """(id, state, version)."""


class Pair(NamedTuple):
    """Two processors' projectors at the start of partition 0, and a view of their read model."""

    one: Projects
    other: Projects
    see: Callable[[], Awaitable[Seen]]


def in_memory() -> Pair:
    model = MemoryReadModel({0: 0})

    async def see() -> Seen:
        tasks = [(task.task_id, task.state.value, task.version) for task in model.tasks.values()]
        return Seen(sorted(model.history[0]), model.positions[0], tasks)

    return Pair(MemoryProjector(model, 0), MemoryProjector(model, 0), see)


def in_postgres(database: str) -> Pair:
    async def see() -> Seen:
        [position] = [row["next_offset"] for row in await rows(database, "positions") if row["partition"] == 0]
        tasks = [(row["task_id"], row["state"], row["version"]) for row in await rows(database, "tasks")]
        return Seen([row["record_offset"] for row in await rows(database, "task_events")], position, tasks)

    return Pair(Projector(database, 0), Projector(database, 0), see)


@pytest.fixture(params=["memory", "small", "large"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pair:
    if request.param == "large":
        monkeypatch.setattr(small_batch, "MOST_RECORDS", 0)
    return in_memory() if request.param == "memory" else in_postgres(request.getfixturevalue("database"))


@pytest.fixture
async def pair(made: Pair) -> AsyncIterator[Pair]:
    for projector in (made.one, made.other):
        await projector.locate()
    yield made
    for projector in (made.one, made.other):
        await projector.close()


async def test_of_two_processors_one_writes(pair: Pair) -> None:
    one, other, see = pair
    await one.project(LIFE[:2])
    with pytest.raises(FenceLost):
        await other.project(records([accepted(new_id())]))  # other events at used offsets
    assert await see() == ([0, 1], 2, [(TASK, "running", 2)])
    assert await other.locate() == 2
    await other.project(LIFE[2:])
    with pytest.raises(FenceLost):
        await one.project(LIFE[2:3])
    assert await see() == ([0, 1, 2, 3], 4, [(TASK, "successful", 4)])


async def test_a_batch_that_begins_too_late_is_not_written(pair: Pair) -> None:
    with pytest.raises(GapInBatch):
        await pair.one.project(LIFE[1:])
    assert await pair.see() == ([], 0, [])


async def test_a_batch_with_a_hole_is_not_written(pair: Pair) -> None:
    with pytest.raises(GapInBatch):
        await pair.one.project([LIFE[0], *LIFE[2:]])
    assert await pair.see() == ([], 0, [])


async def test_what_comes_again_or_overlaps_is_written_once(pair: Pair) -> None:
    for batch in (LIFE[:2], LIFE[:2], LIFE[:3], LIFE[1:], LIFE):
        await pair.one.project(batch)
    assert await pair.see() == ([0, 1, 2, 3], 4, [(TASK, "successful", 4)])


async def test_a_row_is_never_replaced_by_an_older_one(pair: Pair) -> None:
    one, other, see = pair
    await other.project(LIFE[:2])
    await one.locate()
    await one.project(LIFE[2:])
    other.next_offset = 4  # past the fence, while it still believes the task to be running
    await other.project(records([progress(TASK, sequence=2)], start=4))
    assert await see() == ([0, 1, 2, 3, 4], 5, [(TASK, "successful", 4)])
