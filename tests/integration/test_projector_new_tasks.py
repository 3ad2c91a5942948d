"""A task that a small batch creates is not looked up first; if it already exists, its row stays the same."""

from collections.abc import Collection
from uuid import UUID

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection
from pulp_events.ids import new_id
from pulp_events.task import Task
from pulp_projections import stored_tasks
from pulp_projections.writing import projector as projector_module
from pulp_projections.writing.projector import Projector

from tests.support.events import accepted, finished, progress, started
from tests.support.projection import execute
from tests.support.records import NOON_MS, ZOO, record
from tests.support.truth import rows_are_what_records_say


async def test_only_what_may_be_there_is_asked_for(projector: Projector, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[UUID]] = []
    load_tasks = stored_tasks.load_tasks

    async def load(connection: AsyncConnection, task_ids: Collection[UUID]) -> dict[UUID, Task]:
        asked.append(set(task_ids))
        return await load_tasks(connection, task_ids)

    monkeypatch.setattr(projector_module, "load_tasks", load)
    first, second, third, unknown = [new_id() for _ in range(4)]
    await projector.project([record(accepted(first), 0)])
    assert asked == [{first}]  # a new projector does not know what exists
    await projector.project([record(accepted(second), 1), record(started(second), 2)])
    await projector.project([record(started(first), 3)])
    assert asked == [{first}]
    await projector.project([record(accepted(third), 4), record(progress(unknown), 5)])
    assert asked == [{first}, {unknown}]


@pytest.mark.parametrize("later_ms", [0, 1])
async def test_a_task_that_is_there_is_not_made_again(later_ms: int, projector: Projector, database: str) -> None:
    """Its rows are refused: the task's, and those of its resources if they have the same time."""
    task_id, other = new_id(), new_id()
    new = accepted(task_id, resources=(ZOO,))
    life = [new, started(task_id), finished(task_id), new, accepted(other), started(task_id)]
    log = [
        replace(record(event, offset), timestamp_ms=NOON_MS + later_ms * offset) for offset, event in enumerate(life)
    ]
    await projector.project(log[:3])  # it has ended: the projector does not keep it
    await projector.project(log[3:5])
    await projector.project(log[5:])
    effects = await execute(database, "select effect from task_events where task_id = %s order by 1", [task_id])
    assert effects == [("applied",)] * 3 + [("duplicate",), ("final",)]
    await rows_are_what_records_say(database, {0: log})


async def test_a_task_of_another_partition_is_not_made_again(projector: Projector, database: str) -> None:
    task_id, other, new = new_id(), new_id(), new_id()
    elsewhere = Projector(database, 1)
    try:
        await elsewhere.locate()
        await elsewhere.project([record(accepted(other), 0, 1)])
    finally:
        await elsewhere.close()
    await projector.project([record(accepted(task_id), 0)])
    await projector.project([record(accepted(other), 1), record(accepted(new), 2)])
    tasks = await execute(database, "select task_id, partition from tasks")
    assert sorted(tasks) == sorted([(task_id, 0), (other, 1), (new, 0)])
    effects = await execute(database, "select partition, record_offset, effect from task_events order by 1, 2")
    assert effects == [(0, 0, "applied"), (0, 1, "wrong partition"), (0, 2, "applied"), (1, 0, "applied")]
