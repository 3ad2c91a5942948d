"""Cancelling: waiting tasks, running ones, those that ignore it; and who wins a race."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pulp_events.errors import AppendOutcomeUnknown
from pulp_events.events import Event, Finished, Progress, Resource, Started
from pulp_events.log import Log
from pulp_events.task import Position
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import cancel_requested
from tests.support.pipeline import LIMIT_S, Pipeline, pipeline
from tests.support.processes import gone

REPO = Resource(type="repository", id="demo")


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


@pytest.mark.parametrize("operation", ["patient", "patient-plain"])
async def test_a_running_task_stops_itself_and_keeps_its_last_progress(pulp: Pipeline, operation: str) -> None:
    async with pulp.worker(grace_s=LIMIT_S):
        task_id = await pulp.submit(operation, REPO)
        await pulp.running(task_id)
        await pulp.cancel(task_id)
        row = await pulp.end(task_id)
        assert (row["state"], row["error"]) == ("cancelled", None)
        assert row["progress"] == {"step": "stopped"}
        assert (await pulp.end(await pulp.submit("echo", REPO)))["state"] == "successful"


async def test_an_operation_that_takes_no_notice_is_killed_with_all_that_it_started(pulp: Pipeline) -> None:
    async with pulp.worker(grace_s=0.2):
        task_id = await pulp.submit("deaf", REPO)
        await pulp.running(task_id)
        pids = [int(word) for word in (pulp.storage / f"pids-{task_id}").read_text().split()]
        await pulp.cancel(task_id)
        assert (await pulp.end(task_id))["state"] == "cancelled"
        await gone(*pids)


async def test_an_async_operation_that_takes_no_notice_is_cancelled_after_the_grace_period(pulp: Pipeline) -> None:
    async with pulp.worker(grace_s=0.2):
        task_id = await pulp.submit("until-file", REPO)
        await pulp.running(task_id)
        await pulp.cancel(task_id)
        assert (await pulp.end(task_id))["state"] == "cancelled"


async def test_an_operation_that_ends_in_spite_of_a_cancel_has_ended(pulp: Pipeline) -> None:
    async with pulp.worker(grace_s=LIMIT_S):
        task_id = await pulp.submit("until-file")
        await pulp.running(task_id)
        await pulp.cancel(task_id)
        await pulp.until(task_id, lambda row: row["state"] == "cancelling")
        (pulp.storage / "go").touch()
        row = await pulp.end(task_id)
        assert (row["state"], row["result"]) == ("successful", "went")


async def test_a_waiting_task_never_starts(pulp: Pipeline) -> None:
    async with pulp.worker():
        holder = await pulp.submit("until-file", REPO)
        waiting = await pulp.submit("echo", REPO)
        await pulp.running(holder)
        await pulp.cancel(waiting)
        assert (await pulp.end(waiting))["state"] == "cancelled"
        (pulp.storage / "go").touch()
        await pulp.end(holder)
        await pulp.nothing_is_held()
        applied = [kind for kind, effect in await pulp.history(waiting) if effect == "applied"]
        assert applied == ["accepted", "cancel-requested", "finished"]
        assert not (pulp.storage / f"begun-{waiting}").exists()


async def test_a_task_that_cannot_be_cancelled_goes_on(pulp: Pipeline) -> None:
    async with pulp.worker():
        task_id = await pulp.submit("unstoppable")
        await pulp.running(task_id)
        position = await pulp.cancel(task_id)
        await pulp.positions.reach({position.partition: position.offset + 1}, LIMIT_S)
        (pulp.storage / "go").touch()
        assert (await pulp.end(task_id))["state"] == "successful"
        assert ("cancel-requested", "not cancellable") in await pulp.history(task_id)


async def test_a_task_past_its_time_limit_is_stopped(pulp: Pipeline) -> None:
    async with pulp.worker(grace_s=LIMIT_S):
        task_id = await pulp.submit("deaf", timeout_seconds=5)  # time enough to be seen running on a busy machine
        await pulp.running(task_id)
        pids = [int(word) for word in (pulp.storage / f"pids-{task_id}").read_text().split()]
        row = await pulp.end(task_id)
        assert (row["state"], row["error"]["code"]) == ("failed", "timeout")
        await gone(*pids)


class CancelComesFirst:
    """A log in which a cancel is appended just before each `started`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, event: Event, partition: int) -> Position:
        if isinstance(event.data, Started):
            await self._log.append(cancel_requested(event.task_id), partition)
        return await self._log.append(event, partition)

    async def end_offsets(self) -> dict[int, int]:
        return await self._log.end_offsets()


async def test_no_task_starts_after_a_cancel_that_precedes_it_in_the_log(pulp: Pipeline) -> None:
    async with pulp.worker(log=CancelComesFirst(pulp.log)):
        task_id = await pulp.submit("echo", REPO)
        assert (await pulp.end(task_id))["state"] == "cancelled"
        await pulp.nothing_is_held()
        assert ("started", "cancel came first") in await pulp.history(task_id)
        assert not (pulp.storage / f"begun-{task_id}").exists()


class OutcomeUnknown:
    """A log that writes the first event of one kind without confirming it."""

    def __init__(self, log: Log, kind: type) -> None:
        self._log = log
        self._kind = kind
        self._has_failed = False

    async def append(self, event: Event, partition: int) -> Position:
        position = await self._log.append(event, partition)
        if isinstance(event.data, self._kind) and not self._has_failed:
            self._has_failed = True
            raise AppendOutcomeUnknown("no answer in time")
        return position

    async def end_offsets(self) -> dict[int, int]:
        return await self._log.end_offsets()


@pytest.mark.parametrize("kind", [Started, Progress, Finished])
async def test_an_append_with_unknown_outcome_is_repeated_without_harm(pulp: Pipeline, kind: type) -> None:
    async with pulp.worker(log=OutcomeUnknown(pulp.log, kind)):
        task_id = await pulp.submit("echo", REPO)
        row = await pulp.end(task_id)
        assert (row["state"], row["attempt"], row["progress"]) == ("successful", 1, {"step": "last"})
        await pulp.nothing_is_held()
        assert len((pulp.storage / f"begun-{task_id}").read_text().splitlines()) == 1


async def test_draining_lets_tasks_end_and_takes_no_others(pulp: Pipeline) -> None:
    async with pulp.worker(concurrency=1) as worker:
        running = await pulp.submit("until-file")
        waiting = await pulp.submit("echo")
        await pulp.running(running)
        stopped = asyncio.create_task(worker.stop())
        (pulp.storage / "go").touch()
        await stopped
        assert (await pulp.end(running))["state"] == "successful"
        assert (await pulp.until(waiting, bool))["state"] == "waiting"
    assert await pulp.query("select name from workers where stopped_at is null") == []
    assert await pulp.query("select task_id from claims") == []


@pytest.mark.parametrize("operation", ["patient", "patient-plain", "until-file", "unstoppable", "deaf"])
async def test_what_does_not_end_while_draining_fails(pulp: Pipeline, operation: str) -> None:
    async with pulp.worker(drain_s=0.1, grace_s=0.2) as worker:
        task_id = await pulp.submit(operation)
        await pulp.running(task_id)
        await worker.stop()
        row = await pulp.end(task_id)
        assert (row["state"], row["error"]["code"]) == ("failed", "worker-stopped")


async def test_a_second_signal_hastens(pulp: Pipeline) -> None:
    async with pulp.worker(drain_s=10 * LIMIT_S, grace_s=10 * LIMIT_S) as worker:
        task_id = await pulp.submit("deaf")
        await pulp.running(task_id)
        worker.hastening.set()
        await worker.stop()
        assert (await pulp.end(task_id))["error"]["code"] == "worker-stopped"
