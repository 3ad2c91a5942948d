"""A batch reads only the tasks that it changes."""

import asyncio

import pytest
from pulp_events.ids import new_id
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.support.events import accepted, started
from tests.support.projection import execute
from tests.support.records import records

MANY, FEW = 3000, 20


@pytest.mark.parametrize("most_records", [100, 0], ids=["one statement", "by COPY"])
async def test_a_batch_does_not_read_all_tasks_to_change_some(
    database: str, most_records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records)
    ids = [new_id() for _ in range(MANY)]
    projector = Projector(database, 0)
    await projector.locate()
    await projector.project(records([accepted(task_id) for task_id in ids]))
    await projector.project(records([started(task_id) for task_id in ids[:FEW]], start=MANY))
    await projector.close()  # a connection reports its reads when it ends
    counted = "select n_tup_upd, seq_tup_read from pg_stat_user_tables where relname = 'tasks'"
    async with asyncio.timeout(30):
        while (found := await execute(database, counted))[0][0] < FEW:  # noqa: ASYNC110  # it cannot be waited for
            await asyncio.sleep(0.01)
    assert found == [(FEW, 0)]
