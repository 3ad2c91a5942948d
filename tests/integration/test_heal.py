"""`pulp-tasks rebuild --task`: damaged rows become what the events say, while the projection goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pulp_events.audit_reader import read_audit
from pulp_events.codec import key_of
from pulp_events.errors import OffsetOutOfRange
from pulp_events.events import Outcome, Unparking
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_processor.rebuilding import heal as healing
from pulp_processor.rebuilding import task_records
from pulp_processor.rebuilding.compare import MISSING
from pulp_processor.rebuilding.errors import RebuildRefused
from pulp_processor.rebuilding.heal import heal, look
from pulp_processor.rebuilding.verify import verify
from pulp_processor.settings import Settings
from pulp_projections.writing.projector import Projector
from pulp_projections.writing.target import OutOfPlace

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.events import accepted, cancel_requested, finished, progress, purged, started, unparked
from tests.support.projection import append_all, execute, project, rows, settings_of
from tests.support.records import SHARED_BAR, ZOO, life

PARTITION = 1
TABLES = ("tasks", "task_events", "task_resources", "task_causes", "task_counts", "task_days")


@pytest.fixture
def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    return settings_of(backend.kafka, database, topics, batch_records=7)


@pytest.fixture
def task_id() -> UUID:
    return uuid4()


@pytest.fixture
async def log(backend: Backend, topics: Topics, settings: Settings, task_id: UUID) -> AsyncIterator[KafkaLog]:
    """A purged task with a cause and two resources, between two others in its partition; all of it projected."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    attempt_id = uuid4()
    ours = [
        accepted(task_id, resources=(ZOO, SHARED_BAR), rerun_of=uuid4()),
        started(task_id, attempt_id=attempt_id),
        progress(task_id, attempt_id=attempt_id),
        progress(task_id, attempt_id=attempt_id),  # has no effect
        finished(task_id, attempt_id=attempt_id, outcome=Outcome.FAILED),
        purged(task_id),
    ]
    events = [*life(uuid4()), *ours, *life(uuid4())]
    await append_all(log, [(event, PARTITION) for event in events])
    await append_all(log, [(event, 0) for event in life(uuid4())])
    await project(settings, await log.end_offsets())
    yield log
    await log.close()


async def contents(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    found = {table: await rows(settings.postgres, table) for table in TABLES}
    return {**found, "task_counts": [row for row in found["task_counts"] if row["tasks"]]}  # zero is like none


DAMAGE = {
    "a damaged row": (
        "update generation_1.tasks set worker = 'w9', state = 'successful' where task_id = %s",
        "tasks.worker",
    ),
    "a missing row": ("delete from generation_1.tasks where task_id = %s", f"tasks.{MISSING}"),
    "a damaged event": ("update generation_1.task_events set actor = 'x' where task_id = %s", "task_events.actor"),
    "a missing event": (
        "delete from generation_1.task_events where task_id = %s and effect <> 'applied'",
        f"task_events.{MISSING}",
    ),
    "an event too many": (
        "insert into generation_1.task_events select partition, 900, task_id, event_id, type, event_time, broker_time,"
        " actor, effect, event from generation_1.task_events where task_id = %s limit 1",
        f"task_events.{MISSING}",
    ),
    "resources that no event gives": (
        "update generation_1.tasks set resources = '{}' where task_id = %s",
        "tasks.resources",
    ),
    "an event of another task": (
        "update generation_1.task_events set task_id = gen_random_uuid() where task_id = %s and effect <> 'applied'",
        "task_events.task_id",
    ),
    "a resource too many": (
        "insert into generation_1.task_resources select 'repository:x', 'e', accepted_at, task_id"
        " from generation_1.tasks where task_id = %s",
        f"task_resources.{MISSING}",
    ),
    "a missing resource": ("delete from generation_1.task_resources where task_id = %s", f"task_resources.{MISSING}"),
    "a missing cause": ("delete from generation_1.task_causes where task_id = %s", f"task_causes.{MISSING}"),
    "another partition": ("update generation_1.tasks set partition = 2 where task_id = %s", "tasks.partition"),
}


async def test_whatever_was_damaged_is_shown_and_replaced(settings: Settings, log: KafkaLog, task_id: UUID) -> None:
    right = await contents(settings)
    for name, (statement, named) in DAMAGE.items():
        await execute(settings.postgres, statement, [task_id])
        damaged = await contents(settings)
        assert damaged != right, name
        seen = await look(settings, task_id)
        assert named in {f"{each.table}.{each.column}" for each in seen.differences}, name
        assert (seen.is_replaced, await contents(settings)) == (False, damaged), name
        done = await heal(settings, task_id)
        assert (done.is_replaced, done.differences, done.events) == (True, seen.differences, 6), name
        assert await contents(settings) == right, name
        assert not (await heal(settings, task_id)).differences
    assert (await verify(settings)).is_equal


async def test_a_task_without_events_has_no_rows_afterwards(settings: Settings, log: KafkaLog, task_id: UUID) -> None:
    stranger = uuid4()
    right = await contents(settings)
    for table in ("tasks", "task_resources", "task_causes"):
        await execute(
            settings.postgres,
            f"insert into generation_1.{table} select (jsonb_populate_record(t, jsonb_build_object('task_id', %s::text))).*"
            f" from generation_1.{table} t where task_id = %s",
            [str(stranger), task_id],
        )
    done = await heal(settings, stranger)
    assert (done.events, done.task, {each.active for each in done.differences}) == (0, None, {"there"})
    assert await contents(settings) == right
    with pytest.raises(RebuildRefused, match=f"no task {stranger}: the log has no `accepted` of it"):
        await heal(settings, stranger)


async def test_the_day_of_a_task_that_never_ran_is_counted_again(settings: Settings, log: KafkaLog) -> None:
    never = uuid4()
    events = [
        accepted(never),
        cancel_requested(never),
        finished(never, attempt_id=None, outcome=Outcome.CANCELLED),
    ]
    await append_all(log, [(event, PARTITION) for event in events])
    await project(settings, await log.end_offsets())
    right = await contents(settings)
    await execute(
        settings.postgres, "update generation_1.tasks set queue = 'x', resources = '[]' where task_id = %s", [never]
    )
    assert (await heal(settings, never)).is_replaced
    assert await contents(settings) == right
    assert (await verify(settings)).is_equal


async def test_events_that_had_no_effect_stay_in_the_history(settings: Settings, log: KafkaLog) -> None:
    """A task that was never accepted, whose events a foreign program appended."""
    stranger = uuid4()
    await append_all(log, [(progress(stranger), PARTITION), (progress(stranger), PARTITION)])
    await project(settings, await log.end_offsets())
    right = await contents(settings)
    assert not (await heal(settings, stranger)).differences
    await execute(settings.postgres, "update generation_1.task_events set actor = 'x' where task_id = %s", [stranger])
    done = await heal(settings, stranger)
    assert (done.events, done.task, {each.column for each in done.differences}) == (2, None, {"actor"})
    assert await contents(settings) == right


async def test_counts_that_a_processor_made_wrong_on_a_damaged_row_are_right_afterwards(
    settings: Settings, log: KafkaLog
) -> None:
    """The row was final too early, so the end of the task had no effect."""
    late = uuid4()
    attempt_id = uuid4()
    events = [accepted(late), started(late, attempt_id=attempt_id), finished(late, attempt_id=attempt_id)]
    await append_all(log, [(event, PARTITION) for event in events[:2]])
    await project(settings, await log.end_offsets())
    await execute(
        settings.postgres,
        "update generation_1.tasks set state = 'failed', finished_at = now() where task_id = %s",
        [late],
    )
    await append_all(log, [(events[2], PARTITION)])
    await project(settings, await log.end_offsets())
    assert set((await verify(settings)).differences) > {"tasks.state", "task_counts.tasks", f"task_days.{MISSING}"}
    await heal(settings, late)
    assert (await verify(settings)).is_equal


@pytest.mark.parametrize(("near", "looks"), [(0, 4), (2000, 2)])
async def test_events_that_arrive_meanwhile_are_neither_lost_nor_counted_twice(
    settings: Settings, log: KafkaLog, monkeypatch: pytest.MonkeyPatch, near: int, looks: int
) -> None:
    """A projector that remembers the damaged row works on it, before, between and after the steps of the repair."""
    late, attempt_id = uuid4(), uuid4()
    await append_all(log, [(event, PARTITION) for event in (accepted(late), started(late, attempt_id=attempt_id))])
    await project(settings, await log.end_offsets())
    await execute(
        settings.postgres, "update generation_1.tasks set sequence = 50, queue = 'x' where task_id = %s", [late]
    )
    projector = Projector(settings.postgres, PARTITION)
    at = await projector.locate()

    async def go_on(*numbers: int) -> None:
        """Further progress arrives, and the projector that remembers the task projects it."""
        events = [progress(late, attempt_id=attempt_id, sequence=number) for number in numbers]
        await append_all(log, [(event, PARTITION) for event in (*events, *life(uuid4()))])
        ends = await log.end_offsets()
        with Reader(settings.kafka, settings.topics.events, {PARTITION: projector.next_offset}) as reader:
            for _, records in reader.until({PARTITION: ends[PARTITION]}):
                try:
                    await projector.project(records)
                except OutOfPlace:
                    await projector.locate()
                    await projector.project(records)

    await go_on(1)  # has no effect on the damaged row
    steps = 0
    monkeypatch.setattr(task_records, "_NEAR", near)
    real = task_records.position_of

    async def position(connection: object, partition: int) -> int:
        nonlocal steps
        steps += 1
        if partition == PARTITION and steps < 4:
            await go_on(10 + steps)
        return await real(connection, partition)  # type: ignore[arg-type]

    monkeypatch.setattr(task_records, "position_of", position)
    done = await heal(settings, late)
    assert (done.is_replaced, steps) == (True, looks)
    assert projector.next_offset > at
    await go_on(60, 61)
    await projector.close()
    assert await execute(settings.postgres, "select sequence, queue from tasks where task_id = %s", [late]) == [
        (61, "default")
    ]
    assert (await verify(settings)).is_equal


async def test_a_batch_that_waits_for_the_repair_is_folded_again(settings: Settings, log: KafkaLog) -> None:
    late, attempt_id = uuid4(), uuid4()
    await append_all(log, [(event, PARTITION) for event in (accepted(late), started(late, attempt_id=attempt_id))])
    await project(settings, await log.end_offsets())
    await execute(settings.postgres, "update generation_1.tasks set sequence = 50 where task_id = %s", [late])
    projector = Projector(settings.postgres, PARTITION)
    start = await projector.locate()
    await append_all(log, [(progress(late, attempt_id=attempt_id, sequence=7), PARTITION)])
    with Reader(settings.kafka, settings.topics.events, {PARTITION: start}) as reader:
        [(_, records)] = list(reader.until({PARTITION: start + 1}))
    await heal(settings, late)  # the projector has read its position before
    with pytest.raises(OutOfPlace):
        await projector.project(records)
    assert await projector.locate() == start
    await projector.project(records)
    await projector.close()
    assert (await verify(settings)).is_equal


async def test_a_partition_that_is_kept_locked_is_not_waited_for_for_ever(
    settings: Settings, log: KafkaLog, task_id: UUID, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr(healing, "_STRETCH_S", 0.3)
    async with await psycopg.AsyncConnection.connect(database) as batch:
        await batch.execute(
            "update generation_1.positions set next_offset = next_offset where partition = %s", [PARTITION]
        )
        with pytest.raises(
            RebuildRefused, match=f"nothing was changed of task {task_id}: the position of its partition was not free"
        ):
            await heal(settings, task_id)
    monkeypatch.setattr(healing, "_STRETCH_S", 10.0)
    assert not (await heal(settings, task_id)).differences


async def test_a_log_that_was_cut_is_refused(settings: Settings, log: KafkaLog, task_id: UUID) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": str(settings.kafka)})  # its futures end only while it lives
    for future in admin.delete_records(
        [TopicPartition(settings.topics.events, PARTITION, 5)], request_timeout=20
    ).values():
        await asyncio.to_thread(future.result)
    with pytest.raises(OffsetOutOfRange, match=r"partition 1 begins at 5\. Retention.*PULP_ARCHIVE"):
        await heal(settings, task_id)


async def test_the_command_shows_heals_and_is_audited(
    settings: Settings, log: KafkaLog, task_id: UUID, topics: Topics, tmp_path: Path
) -> None:
    env = environment(
        tmp_path,
        PULP_KAFKA=str(settings.kafka),
        PULP_POSTGRES=settings.postgres,
        PULP_TOPIC_PREFIX=topics.events.removesuffix(".events"),
    )
    await execute(settings.postgres, "update generation_1.tasks set worker = 'w9' where task_id = %s", [task_id])
    shown = pulp_tasks("rebuild", "--task", str(task_id), "--dry-run", env=env)
    head = f"task {task_id}: 6 events in partition 1, before offset 18"
    line = f"  tasks {task_id}: worker is w9; the log says w1"
    assert (shown.returncode, shown.stdout.splitlines()) == (1, [head, line, "not equal; nothing was changed"])
    healed = pulp_tasks("rebuild", "--task", f"/pulp/api/v3/tasks/{task_id}/", "--output", "json", env=env)
    assert healed.returncode == 0, healed.stderr
    assert json.loads(healed.stdout) == {
        **{"task_id": str(task_id), "generation": 1, "position": "1:18", "events": 6, "replaced": True},
        "published": False,
        "differences": [{"table": "tasks", "key": [str(task_id)], "column": "worker", "live": "w9", "log": "w1"}],
    }
    again = pulp_tasks("rebuild", "--task", str(task_id), env=env)
    assert (again.returncode, again.stdout.splitlines()) == (0, [head, "equal: nothing had to be replaced"])
    for wrong, told in (
        (("--task", str(task_id)[:8]), "the whole id is needed"),
        (("--task", "zoo"), "is not the id of a task"),
        (("--task", str(task_id), "status"), "--task stands alone"),
        (("--dry-run",), "--dry-run belongs to --task"),
        (("--task", str(uuid4())), "the log has no `accepted` of it"),
    ):
        refused = pulp_tasks("rebuild", *wrong, env=env)
        assert (refused.returncode, told in refused.stderr) == (64, True), refused.stderr
    entries = await asyncio.to_thread(lambda: list(read_audit(settings.kafka, topics.audit)))
    [act] = [entry.record for entry in entries if entry and entry.record and entry.record.what == "task-healed"]
    assert (act.target, act.detail) == (str(task_id), "generation 1, at 1:18: tasks.worker")
    assert act.actor.startswith("os:")


async def test_a_task_with_dead_letters_is_refused(settings: Settings, log: KafkaLog, task_id: UUID) -> None:
    """Otherwise their standing would be left out: what follows them depends on when somebody let the task go on."""
    fine, parked, discarded = uuid4(), uuid4(), uuid4()
    await append_all(log, [(accepted(each), PARTITION) for each in (fine, parked, discarded)])
    producer = raw_producer.make(settings.kafka)
    bad = [RawRecord(key_of(each), b"{", (), PARTITION) for each in (parked, discarded)]
    first, second = await asyncio.to_thread(raw_producer.append, producer, settings.topics.events, bad)
    act = unparked(discarded, offset=second.offset, action=Unparking.DISCARD)
    await append_all(log, [(act, PARTITION), (cancel_requested(parked), PARTITION)])
    await project(settings, await log.end_offsets())
    damage = "update generation_1.tasks set queue = 'damaged' where task_id = any (%s)"
    await execute(settings.postgres, damage, [[fine, parked, discarded]])
    for task, letters in ((parked, f"{first}, {PARTITION}:{first.offset + 3}"), (discarded, str(second))):
        for how in (heal, look):
            with pytest.raises(RebuildRefused) as refused:
                await how(settings, task)
            assert f"task {task} has dead letters ({letters}): " in str(refused.value)
            assert str(refused.value).endswith("Rebuild the read model")
    assert (await heal(settings, fine)).is_replaced  # the others of the partition are not held up
    queues = dict(await execute(settings.postgres, "select task_id, queue from tasks"))
    assert [queues[each] for each in (fine, parked, discarded)] == ["default", "damaged", "damaged"]
