"""Each test plants one difference, which the checker must find, and nothing else."""

import asyncio

import pytest
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.faults.checker import Checker, Difference
from tests.faults.reference import Reference
from tests.support.backends import Backend
from tests.support.projection import append_all, execute, project, settings_of, stories

SEED = 20261124


@pytest.fixture
async def checker(backend: Backend, database: str, topics: Topics) -> Checker:
    """A projected log of stories, and a fresh checker."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await append_all(log, stories(SEED, PARTITIONS, tasks=10, length=60))
    ends = await log.end_offsets()
    await log.close()
    await project(settings_of(backend.kafka, database, topics), ends)
    return Checker(Reference(backend.kafka, topics.events, PARTITIONS), database)


async def differences(checker: Checker) -> list[Difference]:
    try:
        return (await asyncio.to_thread(checker.check_all)).differences
    finally:
        checker.reference.close()


async def test_an_honest_projection_has_no_difference(checker: Checker) -> None:
    checked = await asyncio.to_thread(checker.check)
    assert checked.differences == []
    assert checked.events == sum(checked.positions.values()) == PARTITIONS * (5 + 60)
    assert [(checked.tasks,)] == await execute(checker.postgres, "select count(*) from tasks")
    again = await asyncio.to_thread(checker.check)
    assert (again.tasks, again.events) == (0, 0)
    assert await differences(checker) == []


@pytest.mark.parametrize(
    ("plant", "promise", "words"),
    [
        ("update tasks set state = 'failed' where task_id = {task}", "I2", ".state: the log says"),
        ("update tasks set version = version + 1 where task_id = {task}", "I2", ".version: the log says"),
        ("update tasks set progress = '{{}}', result = '1' where task_id = {task}", "I2", "Postgres 1"),
        ("delete from tasks where task_id = {task}", "I1", "is not in Postgres"),
        ("delete from task_events where {event}", "I1", "the history lacks"),
        ("update task_events set effect = 'stale' where {event}", "I2", "effect: the log says 'applied'"),
        ("update task_events set event = 'x' where {event}", "I2", "event: the log says"),
        (
            "alter table {schema}.{part} drop constraint {part}_pkey;"
            " insert into task_events select * from task_events where {event}",
            "I3",
            "holds this record twice",
        ),
    ],
)
async def test_a_planted_difference_is_found_with_its_place(
    checker: Checker, plant: str, promise: str, words: str
) -> None:
    [(task_id, partition, offset)] = await execute(
        checker.postgres,
        "select task_id, partition, record_offset from task_events e join tasks using (task_id, partition)"
        " where record_offset = last_offset and effect = 'applied' and result::text = 'null' and version > 2"
        " order by partition, record_offset limit 1",
    )
    event = f"partition = {partition} and record_offset = {offset}"
    [(part,)] = await execute(
        checker.postgres,
        f"select relname from generation_1.task_events e join pg_class c on c.oid = e.tableoid where {event}",
    )
    for statement in plant.format(task=f"'{task_id}'", event=event, schema="generation_1", part=part).split(";"):
        await execute(checker.postgres, statement)
    found = await differences(checker)
    assert found
    assert {each.promise for each in found} - {"I7"} == {promise}
    assert any(words in str(each) for each in found), found
    assert (found[0].partition, found[0].offset) == (partition, offset)


async def test_a_wrong_counter_is_found(checker: Checker) -> None:
    [(partition, state, operation, count)] = await execute(
        checker.postgres,
        "select partition, state, operation, tasks from task_counts where tasks > 0 order by 1, 2, 3 limit 1",
    )
    await execute(
        checker.postgres,
        "update task_counts set tasks = tasks + 1 where (partition, state, operation) = (%s, %s, %s)",
        [partition, state, operation],
    )
    (found,) = await differences(checker)
    assert (found.promise, found.partition) == ("I2", partition)
    assert found.what == f"counter of {state} {operation}: the log says {count}, Postgres {count + 1}"


async def test_a_wrong_use_of_a_resource_is_found(checker: Checker) -> None:
    [(task_id, partition)] = await execute(
        checker.postgres,
        "update generation_1.task_resources k set access = 's' from tasks t where t.task_id = k.task_id and k.ctid ="
        " (select min(ctid) from generation_1.task_resources where access = 'e') returning t.task_id, t.partition",
    )
    found = await differences(checker)
    assert {(each.promise, each.partition) for each in found} == {("I1", partition), ("I2", partition)}
    assert [f"task {task_id}, use of" in each.what for each in found] == [True, True]


@pytest.mark.parametrize(
    ("plant", "promise"),
    [("update task_causes set cause = gen_random_uuid()", "I2"), ("delete from task_causes", "I1")],
)
async def test_a_wrong_cause_is_found(checker: Checker, plant: str, promise: str) -> None:
    [(task_id, partition)] = await execute(
        checker.postgres, "select task_id, partition from tasks join task_causes using (task_id) order by 1 limit 1"
    )
    await execute(checker.postgres, f"{plant} where task_id = '{task_id}'")
    (found,) = await differences(checker)
    assert (found.promise, found.partition) == (promise, partition)
    assert found.what.startswith(f"task {task_id} runs again: the log says ")


async def test_a_position_that_went_back_is_found_unless_a_server_has_died(checker: Checker) -> None:
    await asyncio.to_thread(checker.check)
    await execute(checker.postgres, "update positions set next_offset = next_offset - 1 where partition = 2")
    await execute(checker.postgres, "delete from task_events where partition = 2 and record_offset = 64")
    found = [each for each in (await asyncio.to_thread(checker.check)).differences if each.promise == "I8"]
    assert [(each.partition, each.offset) for each in found] == [(2, 64)]
    checker.expect_rewind()
    await execute(checker.postgres, "update positions set next_offset = next_offset - 1 where partition = 2")
    assert "I8" not in {each.promise for each in await differences(checker)}
