"""A record that cannot be projected parks its task: later events of the task wait, in order, and all others go on.
After a retry or a discard everything matches the plain fold of the log (`tests/support/records.py`), wherever the
record was, however the log was cut into batches, and however often the projection was killed.
"""

import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from pulp_api.measuring import Gauges
from pulp_events.codec import key_of
from pulp_events.events import Event, Resource, Unparking
from pulp_events.log import KafkaLog
from pulp_events.reader import Record
from pulp_events.task import Position
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.letters import discard_letter, retry_letter
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_processor.rebuilding import activation, rebuild
from pulp_processor.rebuilding.verify import verify
from pulp_processor.settings import Settings
from pulp_projections.connection import connect_blocking
from pulp_projections.dead_letters import StillUndecodable
from pulp_projections.writing import small_batch
from pulp_projections.writing.large_batch import TooManyParked
from pulp_projections.writing.projector import Projector
from pulp_runtime.preconditions import parked

from tests.conftest import PARTITIONS
from tests.support import later_release
from tests.support.backends import Backend
from tests.support.dispatch_stage import Stage, dispatch_stage
from tests.support.dispatching import dispatcher
from tests.support.events import accepted, cancel_requested, finished, started, unparked
from tests.support.processor_process import installation
from tests.support.projection import execute, project, rows, settings_of
from tests.support.reactor_scene import LONG_AGO, outcome, reactor_scene
from tests.support.records import garbage, record, records, story
from tests.support.site import START_MS, V3
from tests.support.site import Site as ApiSite
from tests.support.truth import read_log, rows_are_what_records_say

TABLES = ("tasks", "task_events", "task_counts", "task_resources", "task_causes", "dead_letters", "positions")
SEEDS = range(6)


def spoilt_log(random: Random, length: int = 60) -> list[Record]:
    """Stories of four tasks, with records of a later release and others that no release understands."""
    log = []
    for offset, event in enumerate(story(random, 4, length)):
        sound, chance = record(event, offset), random.random()
        if chance < 0.3 and later_release.is_started(sound):
            log.append(later_release.written_later(sound))
        elif chance < 0.06:
            log.append(garbage(random.choice([None, b"{", b"\xff"]), offset, key=key_of(event.task_id)))
        else:
            log.append(sound)
    return log


def cut(random: Random, log: Sequence[Record]) -> list[list[Record]]:
    """The log in batches."""
    places = sorted({0, len(log), *(random.randrange(len(log) + 1) for _ in range(5))})
    return [list(log[start:end]) for start, end in pairwise(places)]


async def project_all(database: str, batches: Sequence[Sequence[Record]]) -> None:
    """Project each batch with a new projector, so that nothing is remembered."""
    for batch in batches:
        projector = Projector(database, 0)
        await projector.locate()
        await projector.project(list(batch))
        await projector.close()


async def acts_on_all(database: str, random: Random, log: list[Record]) -> list[Record]:
    """The events that let each parked task go on: retries of records that a later release understands, discards of the
    rest."""
    found = await rows(database, "dead_letters")
    acts: list[Record] = []
    for letter in found:
        if letter["standing"] == "parks":
            is_sound = b"started.v2" in (letter["value"] or b"")
            action = Unparking.RETRY if is_sound else Unparking.DISCARD
            event = unparked(letter["task_id"], offset=letter["record_offset"], action=action)
            acts.append(record(event, len(log) + len(acts)))
    random.shuffle(acts)
    return [record_at(each, len(log) + place) for place, each in enumerate(acts)]


def record_at(sound: Record, offset: int) -> Record:
    return Record(sound.partition, offset, sound.timestamp_ms, sound.key, sound.value, sound.headers)


@pytest.mark.parametrize("most_records_of_a_small_batch", [0, 100])
@pytest.mark.parametrize("seed", SEEDS)
async def test_after_an_upgrade_tasks_end_as_if_nothing_had_happened(
    seed: int, most_records_of_a_small_batch: int, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records_of_a_small_batch)
    random = Random(seed)
    log = spoilt_log(random)
    await project_all(database, cut(random, log))
    await rows_are_what_records_say(database, {0: log}, newest=1)
    later_release.upgrade(monkeypatch)
    while acts := await acts_on_all(database, random, log):
        await project_all(database, [acts])
        log += acts
    await rows_are_what_records_say(database, {0: log}, newest=2)
    assert {row["standing"] for row in await rows(database, "dead_letters")} <= {"discarded"}


async def test_batches_that_are_folded_ahead_know_what_was_parked(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", 0)
    for seed in SEEDS:
        random = Random(seed)
        await execute(
            database,
            "truncate generation_1.task_events, generation_1.tasks, generation_1.dead_letters,"
            " generation_1.task_counts, generation_1.task_resources, generation_1.task_causes",
        )
        await execute(database, "update generation_1.positions set next_offset = 0")
        log = spoilt_log(random)
        log += [record_at(each, len(log) + place) for place, each in enumerate(guesses(random, log))]
        batches = cut(random, log)
        projector = Projector(database, 0)
        await projector.locate()
        for batch, upcoming in zip(batches, [*batches[1:], []], strict=True):
            await projector.project(batch, partial(list_of, upcoming))
        await projector.close()
        await rows_are_what_records_say(database, {0: log}, newest=1)


def list_of(batch: list[Record]) -> list[Record]:
    """The list itself, as the projector expects it."""
    return batch


def guesses(random: Random, log: Sequence[Record]) -> list[Record]:
    """Acts on records of the log, whether or not these park anything."""
    found = []
    for each in random.sample(list(log), 25):
        event = unparked(UUID((each.key or b"").decode()), offset=each.offset, action=random.choice(list(Unparking)))
        found.append(record(event, 0))
    return found


async def test_it_waits_in_order_and_others_go_on(projector: Projector, database: str) -> None:
    task, other = uuid4(), uuid4()
    bad = garbage(b"{", 1, key=key_of(task))
    await projector.project(
        [record(accepted(task), 0), bad, *records([accepted(other), started(task), started(other)], 2)]
    )
    shown = {row["task_id"]: row["state"] for row in await rows(database, "tasks")}
    assert shown == {task: "waiting", other: "running"}
    letters = [(row["record_offset"], row["standing"], row["task_id"]) for row in await rows(database, "dead_letters")]
    assert letters == [(1, "parks", task), (3, "waits", task)]
    await projector.project(records([unparked(task, offset=1, action=Unparking.DISCARD), finished(task)], 5))
    row = next(row for row in await rows(database, "tasks") if row["task_id"] == task)
    assert (row["state"], row["version"], row["last_offset"]) == ("successful", 3, 6)
    assert row["started_at"].timestamp() * 1000 == record(started(task), 3).timestamp_ms  # when it was written


async def test_what_postgres_refuses_parks_its_task_also_when_it_has_waited(
    projector: Projector, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = uuid4()
    await execute(
        database,
        "create function refuse() returns trigger language plpgsql as"
        " $$begin if new.actor = 'user:refused' then raise data_exception; end if; return new; end$$",
    )
    await execute(
        database,
        "create trigger refusing before insert on generation_1.task_events for each row execute function refuse()",
    )
    refused = [
        Event(id=uuid4(), task_id=task, time=each.time, actor="user:refused", data=each.data)
        for each in [started(task)]
    ]
    log = [
        record(accepted(task), 0),
        garbage(b"{", 1, key=key_of(task)),
        *records([*refused, cancel_requested(task)], 2),
    ]
    await projector.project(log)
    await projector.project(records([unparked(task, offset=1, action=Unparking.DISCARD)], 4))
    letters = [(row["record_offset"], row["standing"]) for row in await rows(database, "dead_letters")]
    assert letters == [(1, "discarded"), (2, "parks"), (3, "waits")]
    await execute(database, "drop trigger refusing on generation_1.task_events")
    await projector.project(records([unparked(task, offset=2)], 5))
    assert [row["state"] for row in await rows(database, "tasks")] == ["cancelling"]
    assert [row["record_offset"] for row in await rows(database, "dead_letters")] == [1]


async def test_it_stops_rather_than_park_more_than_is_allowed(database: str) -> None:
    projector = Projector(database, 0, most_parked=2)
    await projector.locate()
    tasks = [uuid4() for _ in range(3)]
    await projector.project([garbage(b"{", place, key=key_of(task)) for place, task in enumerate(tasks[:2])])
    more = [garbage(b"{", 2, key=key_of(tasks[0])), garbage(b"", 3), garbage(b"{", 4, key=key_of(tasks[2]))]
    await projector.project(more[:2])  # neither parks another task
    with pytest.raises(TooManyParked, match=r"3 tasks would be parked, and PULP_MOST_PARKED_TASKS allows 2.* 0:4 "):
        await projector.project(more[2:])
    await projector.close()
    assert len(await rows(database, "dead_letters")) == 4
    again = Projector(database, 0, most_parked=3)
    assert await again.locate() == 4
    await again.project(more[2:])
    await again.close()
    assert len(await rows(database, "dead_letters")) == 5


async def test_killed_between_any_two_steps(database: str, tmp_path: Path) -> None:
    """The projection is a process that is killed at its first statement, then started again and killed at its second, and
    so on, until a batch is written; then from the first one again."""
    task, other = uuid4(), uuid4()
    events = [accepted(task), accepted(other), started(task), started(other), finished(task), finished(other)]
    log = [garbage(b"{", each.offset, key=each.key) if each.offset == 2 else each for each in records(events)]
    log += records([unparked(task, offset=2, action=Unparking.DISCARD), cancel_requested(task)], len(log))
    file = tmp_path / "log"
    file.write_bytes(pickle.dumps([log[:5], log[5:]]))
    position, statement, killed = 0, 0, 0
    while position < len(log):
        statement += 1
        environment = {**os.environ, "DATABASE": database, "LOG": str(file), "KILLED_AT": str(statement)}
        program = [sys.executable, "-m", "tests.support.killed_projection"]
        ended = await asyncio.to_thread(subprocess.run, program, env=environment, check=False)
        assert ended.returncode in (0, -9)
        killed += ended.returncode == -9
        [(now,)] = await execute(database, "select next_offset from positions where partition = 0")
        if now > position:
            position, statement = now, 0
            await rows_are_what_records_say(database, {0: log[:position]})
    assert killed > 15
    await rows_are_what_records_say(database, {0: log})


@pytest.fixture
def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    return settings_of(backend.kafka, database, topics, batch_records=7)


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    yield log
    await log.close()


class Site:
    """A log and its projection up to the end."""

    def __init__(self, settings: Settings, log: KafkaLog) -> None:
        self.settings, self.log = settings, log
        self.producer = raw_producer.make(settings.kafka)

    async def append(self, *items: Record) -> None:
        """Append records to partition 0, and project them."""
        raw = [RawRecord(each.key, each.value, each.headers, 0) for each in items]
        await asyncio.to_thread(raw_producer.append, self.producer, self.settings.topics.events, raw)
        await self.project()

    async def project(self) -> None:
        await project(self.settings, await self.log.end_offsets())

    async def act(self, how: Callable[..., Position], task: UUID) -> None:
        """Retry or discard what parks the task, as the command does."""
        [offset] = [
            row["record_offset"]
            for row in await rows(self.settings.postgres, "dead_letters")
            if (row["task_id"], row["standing"]) == (task, "parks")
        ]
        with connect_blocking(self.settings.postgres, "test", connect_timeout_s=10) as connection:
            topics = self.settings.topics
            await asyncio.to_thread(how, connection, self.producer, topics, Position(0, offset), actor="os:root")
        await self.project()

    async def states(self) -> dict[UUID, str]:
        return {row["task_id"]: row["state"] for row in await rows(self.settings.postgres, "tasks")}


@pytest.fixture
def site(settings: Settings, log: KafkaLog) -> Site:
    return Site(settings, log)


async def test_a_rebuild_parks_what_is_parked_and_goes_on_from_there(site: Site) -> None:
    discarded, kept = uuid4(), uuid4()
    await site.append(*records([accepted(discarded), accepted(kept)]))
    await site.append(*(garbage(b"{", 0, key=key_of(task)) for task in (discarded, kept)), garbage(b"", 0))
    await site.append(*records([started(discarded), started(kept), finished(discarded), finished(kept)]))
    await site.act(discard_letter, discarded)
    settings = site.settings
    await rebuild.start(settings)
    for table in TABLES:
        assert await rows(settings.postgres, table, 2) == await rows(settings.postgres, table, 1)
    await activation.activate(settings, unverified=True)
    assert await site.states() == {discarded: "successful", kept: "waiting"}
    await site.act(discard_letter, kept)
    assert await site.states() == {discarded: "successful", kept: "successful"}
    assert (await verify(settings)).is_equal
    await activation.rollback(settings)
    assert await site.states() == {discarded: "successful", kept: "successful"}
    await rows_are_what_records_say(
        settings.postgres, read_log(str(settings.kafka), settings.topics, await site.log.end_offsets())
    )


async def test_an_event_of_a_later_version_waits_for_the_upgrade_with_those_after_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, other = uuid4(), uuid4()
    await site.append(*records([accepted(task), accepted(other)]))
    await site.append(later_release.written_later(record(started(task), 0)), record(started(other), 0))
    await site.append(*records([finished(task), finished(other)]))
    assert await site.states() == {task: "waiting", other: "successful"}
    [parks, waits] = await rows(site.settings.postgres, "dead_letters")
    assert parks["reason"] == "version 2 of started is newer than this release: it knows those up to 1"
    assert (parks["standing"], waits["standing"]) == ("parks", "waits")
    with pytest.raises(StillUndecodable, match="upgrade first"):
        await site.act(retry_letter, task)
    later_release.upgrade(monkeypatch)
    await site.act(retry_letter, task)
    assert await site.states() == {task: "successful", other: "successful"}
    assert await rows(site.settings.postgres, "dead_letters") == []
    assert (await verify(site.settings)).is_equal  # a fold from the start never parks it


async def test_a_processor_stops_with_65_rather_than_park_more(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        await made.append(RawRecord(key_of(uuid4()), b"{", (), 0))
        processor = made.start(PULP_MOST_PARKED_TASKS="0")
        assert await processor.ended() == 65
        assert "1 tasks would be parked, and PULP_MOST_PARKED_TASKS allows 0" in processor.output()
        assert await rows(database, "dead_letters") == []
        made.start(PULP_MOST_PARKED_TASKS="1")
        await made.reached(made.ends())
    assert [row["standing"] for row in await rows(database, "dead_letters")] == ["parks"]


# Whoever works with tasks.


async def test_a_parked_task_is_not_assigned_and_holds_nobody_back_until_it_goes_on(database: str) -> None:
    async with dispatch_stage(database) as stage, dispatcher(stage.database, stage.log):
        first = await stage.submit("a")
        await bad_record_of(stage, first)
        behind = await stage.submit("a")
        await stage.worker(slots=2)
        attempt_id = (await stage.assigned(behind)).attempt_id
        assert await stage.claim(first) is None
        await stage.happens(started(behind, attempt_id=attempt_id), finished(behind, attempt_id=attempt_id))
        again = await stage.submit("c", is_projected=False)
        await bad_record_of(stage, again)
        await stage.happens(unparked(first, offset=1, action=Unparking.DISCARD))
        assert (await stage.assigned(first)).attempt == 1
        assert await stage.claim(again) is None


async def bad_record_of(stage: Stage, task_id: UUID) -> None:
    """A record of the task that cannot be projected."""
    log = stage.log.records[0]
    log.append(garbage(b"{", len(log), key=key_of(task_id)))
    await stage.project()


async def test_a_parked_task_keeps_what_it_holds_and_is_ended_after_it_goes_on(
    backend: Backend, database: str, topics: Topics
) -> None:
    async with reactor_scene(backend, database, topics) as scene:
        lost = await scene.runs(LONG_AGO, "a")
        waiting = uuid4()
        await scene.happens(accepted(waiting))
        await scene.claim(waiting, uuid4(), "gone", await scene.worker("gone", LONG_AGO), "b")
        producer = raw_producer.make(backend.kafka)
        bad = [RawRecord(key_of(task), b"{", (), 0) for task in (lost, waiting)]
        places = await asyncio.to_thread(raw_producer.append, producer, topics.events, bad)
        await scene.projected()
        await scene.settled()
        assert await scene.reacts() == []
        [(reserved, claimed)] = await execute(
            database,
            "select (select count(*) from reservations), (select count(*) from claims where released_at is null)",
        )
        assert (reserved, claimed) == (2, 2)
        for task, place in zip((lost, waiting), places, strict=True):
            await scene.happens(unparked(task, offset=place.offset, action=Unparking.DISCARD))
        (event,) = await scene.reacts()
        assert (event.task_id, outcome(event)) == (lost, ("failed", "worker-lost"))


async def test_readers_see_the_task_as_it_was_and_are_told_why_it_is_parked(api: ApiSite) -> None:
    running, waiting = await api.task(), await api.task()
    await api.add(started(running), api.partition_of(running))
    for task in (running, waiting):
        partition = api.partition_of(task)
        log = api.log.records[partition]
        log.append(record_at(garbage(b"{", 0, partition, key=key_of(task)), len(log)))
        await api.add(cancel_requested(task), partition)
    for task, state in ((running, "running"), (waiting, "waiting")):
        assert (await api.client.get(f"{V3}/tasks/{task}/")).json()["state"] == state
        told = (await api.client.get(f"{V3}/tasks/{task}/why/")).json()
        [reason, *_] = told["reasons"]
        assert reason["reason"] == "parked"
        assert reason["message"].startswith("It is parked: the record at ")
        assert reason["message"].endswith(" 1 later event waits behind it.")
    listed = (await api.client.get(f"{V3}/dead-letters/")).json()["results"]
    assert {each["standing"] for each in listed} == {"parks"}
    assert {each["task"] for each in listed} == {f"{V3}/tasks/{task}/" for task in (running, waiting)}
    shown = (await api.client.get(f"{V3}/read-model/")).json()
    assert (shown["dead_letters"], shown["parked_tasks"]) == (2, 2)
    async with api.connect() as connection:
        [finding] = await parked.look(connection)
    assert finding.wrong == "2 tasks are parked: a record of each cannot be projected"


async def test_queues_and_lines_leave_a_parked_task_aside(api: ApiSite) -> None:
    """It is not runnable, so nobody starts a worker for it; and it holds nobody back."""
    zoo = Resource("repository", "zoo")
    first = await api.task(resources=(zoo,))
    api.log.next_at(START_MS + 3_600_000)
    second = await api.task(resources=(zoo,))
    partition = api.partition_of(first, zoo)
    log = api.log.records[partition]
    log.append(record_at(garbage(b"{", 0, partition, key=key_of(first)), len(log)))
    await api.add(cancel_requested(first), partition)
    names = ("waiting", "runnable", "blocked", "parked", "wanted_slots")
    [queue] = (await api.client.get(f"{V3}/queues/")).json()["results"]
    assert {each: queue[each] for each in names} == {
        **{"waiting": 2, "runnable": 1, "blocked": 0, "parked": 1, "wanted_slots": 1},
    }
    runnable = {"unblocked_at__isnull": "false", "state": "waiting"}
    found = (await api.client.get(f"{V3}/tasks/", params=runnable)).json()["results"]
    assert [row["pulp_href"] for row in found] == [f"{V3}/tasks/{second}/"]
    assert (await api.client.get(f"{V3}/tasks/{first}/")).json()["unblocked_at"] is None
    waited_s = time.time() - (START_MS / 1000 + 3600)  # of the second one, which was accepted an hour later
    assert abs(queue["oldest_wait_seconds"] - waited_s) < 600
    assert isinstance(api.client._transport, httpx.ASGITransport)
    app = api.client._transport.app
    assert isinstance(app, FastAPI)
    gauges = Gauges(api.service, app.state.quotas, app.state.seats, None)
    numbers = {reading.metric.name: reading.value for reading in await gauges.of_postgres()}
    assert numbers["pulp_tasks_runnable"] == numbers["tasks_unblocked_queue"] == 1
    assert numbers["pulp_tasks_blocked"] == 0
    assert numbers["pulp_tasks_parked"] == numbers["pulp_tasks_parked_tasks"] == 1
    follower = await api.task(depends_on=(first,))  # not parked itself
    [queue] = (await api.client.get(f"{V3}/queues/")).json()["results"]
    assert {each: queue[each] for each in names} == {
        **{"waiting": 3, "runnable": 1, "blocked": 1, "parked": 1, "wanted_slots": 1},
    }
    await api.add(cancel_requested(follower), api.partition_of(follower))
    line = (await api.client.get(f"{V3}/resources/line/", params={"resource": "repository:zoo"})).json()
    assert [(each["task"], each["passed_over"]) for each in line["tasks"]] == [
        (f"{V3}/tasks/{first}/", True),
        (f"{V3}/tasks/{second}/", False),
    ]
    why = (await api.client.get(f"{V3}/tasks/{second}/why/")).json()
    assert [each["before"] for each in why["resources"]] == [0]
