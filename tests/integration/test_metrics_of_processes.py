"""The metrics of an installation's processes, read as Prometheus does and compared with the log and Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pulp_deploy.local.ports import free_ports
from pulp_events.codec import encode, key_of
from pulp_events.topics import Topics
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_runtime.telemetry.catalog import EVERY_PROCESS, OF_PROCESS
from pulp_runtime.telemetry.metric import Kind

from tests.conftest import PARTITIONS
from tests.support.api_process import add_admin, api_process
from tests.support.backends import Backend
from tests.support.events import accepted
from tests.support.measured import Scraped, scraped
from tests.support.processor_process import Installation, installation
from tests.support.site import V2, V3
from tests.support.worker_process import worker_process

LIMIT_S = 60


@dataclass
class Measured:
    """An installation whose processes measure."""

    client: httpx.AsyncClient
    installation: Installation
    ports: dict[str, int]

    async def submit(self, operation: str, **more: Any) -> str:
        """Submit a task; its id."""
        answer = await self.client.post(f"{V3}/tasks/", json={"operation": operation, **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task"].rstrip("/").rpartition("/")[2])

    async def until(self, task_id: str, *states: str) -> None:
        """Wait until the task is in one of the states."""
        async with asyncio.timeout(LIMIT_S):
            while await self._state(task_id) not in states:  # noqa: ASYNC110  # nothing announces it
                await asyncio.sleep(0.05)

    async def _state(self, task_id: str) -> str | None:
        """None while the task is not projected yet, which a header says."""
        answer = await self.client.get(f"{V3}/tasks/{task_id}/")
        assert answer.status_code == 200 or "pulp-lag" in answer.headers, answer.text
        return cast(str, answer.json()["state"]) if answer.status_code == 200 else None

    async def queue(self) -> dict[str, Any]:
        """The queue, according to the API."""
        answer = await self.client.get(f"{V3}/queues/?name=default")
        return cast(dict[str, Any], answer.json()["results"][0])

    async def scrape(self, process: str) -> Scraped:
        return await scraped(self.ports[process])


MEASURED = ("api", "processor", "worker")
"""What the log's process tells is in test_transparency.py."""


@pytest.fixture
async def measured(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Measured]:
    ports = dict(zip(MEASURED, free_ports(len(MEASURED)), strict=True))
    await add_admin(database)
    async with AsyncExitStack() as stack:
        made = stack.enter_context(installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS))
        made.start(PULP_METRICS_PORT=str(ports["processor"]))
        worker = {
            **made.environment(),
            "PULP_WORKER_NAME": "measured",
            "PULP_WORKER_CONCURRENCY": "2",
            "PULP_WORKER_MODULES": "tests.support.worker_operations",
            "PULP_METRICS_PORT": str(ports["worker"]),
        }
        stack.enter_context(worker_process(tmp_path, worker))
        settings = {"PULP_METRICS_PORT": str(ports["api"])}
        api = await stack.enter_async_context(api_process(backend.kafka, database, topics, tmp_path, settings=settings))
        client = await stack.enter_async_context(api.client())
        async with asyncio.timeout(LIMIT_S):
            while "patient" not in (await client.get(f"{V3}/operations/?limit=100")).text:  # noqa: ASYNC110  # nothing announces it
                await asyncio.sleep(0.1)
        yield Measured(client, made, ports)


async def test_every_process_tells_what_happens(measured: Measured) -> None:
    for _ in range(3):
        await measured.until(await measured.submit("echo"), "completed")
    holds = {"queue": "default", "resources": [{"type": "repository", "id": "zoo"}]}
    patient = await measured.submit("patient", **holds)
    await measured.until(patient, "running")
    blocked = await measured.submit("patient", **holds)
    unserved = accepted(operation="nobody-offers-it")
    duplicate = RawRecord(key_of(unserved.task_id), encode(unserved), (), 0)
    hook = {"name": "behind", "url": "http://192.0.2.1/", "since": "beginning"}  # where nothing may be sent to
    assert (await measured.client.post(f"{V3}/subscriptions/", json=hook)).status_code == 201
    ends = await measured.installation.append(duplicate, duplicate, RawRecord(b"key", b"no event", (), 0))
    await measured.installation.reached(ends)

    processor = await measured.scrape("processor")
    projected = sum(processor.values("pulp_tasks_projected_events_total", "partition").values())
    assert sum(ends.values()) <= projected <= sum(measured.installation.ends().values())  # an operation may report
    async with asyncio.timeout(LIMIT_S):
        while any(processor.values("pulp_tasks_lag_events", "partition").values()):
            processor = await measured.scrape("processor")
    partitions = {str(each): 0 for each in range(PARTITIONS)}
    assert processor.values("pulp_tasks_lag_events", "partition") == partitions
    assert processor.values("pulp_tasks_lag_seconds", "partition") == partitions
    assert processor.values("pulp_tasks_ignored_events_total", "reason") == {"duplicate": 1}
    assert processor.value("pulp_tasks_dead_events_total") == 1
    projected = sum(processor.values("pulp_tasks_projected_events_total", "partition").values())
    assert processor.value("pulp_tasks_batch_events_sum") == projected
    commits = processor.value("pulp_tasks_commit_seconds_count")
    assert commits == processor.value("pulp_tasks_batch_events_count") > 0
    assert processor.value("pulp_tasks_dispatcher_elected") == 1
    assert processor.value("pulp_tasks_wait_seconds_count", queue="default") >= 4  # one may be assigned behind another
    assert processor.value("pulp_tasks_claim_seconds_count") > 0

    async with asyncio.timeout(LIMIT_S):
        while (found := await measured.queue())["running"] != 1 or found["blocked"] != 1:  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.05)
    api = await measured.scrape("api")
    for name, key in (
        ("pulp_tasks_runnable", "runnable"),
        ("pulp_tasks_blocked", "blocked"),
        ("pulp_tasks_parked", "parked"),
        ("pulp_tasks_running", "running"),
        ("pulp_tasks_free_slots", "free_slots"),
    ):
        assert api.value(name, queue="default") == found[key], name
    assert api.value("pulp_tasks_oldest_wait_seconds", queue="default") >= found["oldest_wait_seconds"] > 0
    assert api.value("pulp_tasks_unserved", queue="default") == found["unserved"] == 1
    assert api.value("tasks_longest_unblocked_time") > 0
    assert api.value("tasks_unblocked_queue") == found["runnable"]
    assert api.value("pulp_tasks_workers") == 1
    assert api.value("pulp_tasks_webhook_backlog_events", subscription="behind") >= sum(ends.values())
    assert api.value("pulp_tasks_webhook_backlog_seconds", subscription="behind") > 0
    assert api.value("pulp_tasks_webhook_parked_tasks", subscription="behind") == 0
    assert api.values("pulp_tasks_worker_heartbeat_age_seconds", "worker").keys() == {"measured"}
    assert api.value("pulp_tasks_dispatching") == 1
    assert api.values("pulp_tasks_source_up", "source") == {"kafka": 1, "postgres": 1, "process": 1}
    assert api.value("pulp_tasks_http_request_seconds_count", method="POST", status="202") == 5
    assert api.value("pulp_tasks_append_seconds_count", type="accepted") == 5

    worker = await measured.scrape("worker")
    assert worker.value("pulp_tasks_worker_slots") == 2
    assert worker.value("pulp_tasks_worker_operating") == 1
    assert 0 < worker.value("pulp_tasks_worker_lease_left_seconds") <= 6
    assert worker.value("pulp_tasks_begin_seconds_count") == 4
    assert worker.value("pulp_tasks_attempts_total", operation="echo", outcome="successful") == 3
    assert worker.value("pulp_tasks_run_seconds_count", operation="echo") == 3

    for task_id in (blocked, patient):
        await measured.client.patch(f"{V3}/tasks/{task_id}/", json={"state": "canceled"})
        await measured.until(task_id, "canceled")
    processor = await measured.scrape("processor")
    assert processor.value("pulp_tasks_append_seconds_count", type="finished") >= 1  # the reactor ends a waiting task
    failures = processor.values("pulp_tasks_append_failures_total", "type")
    assert {"attempt-failed", "accepted", "schedule.due", "subscription.parked"} <= failures.keys()
    assert set(failures.values()) == {0}
    await measured.client.request("HEAD", f"{V2}/tasks/")
    async with measured.client.stream("GET", f"{V3}/events/") as stream:
        assert stream.status_code == 200
        api = await measured.scrape("api")
        assert api.value("pulp_tasks_streams") == 1
    assert api.value("pulp_tasks_cancel_seconds_count") == 2
    assert api.value("pulp_tasks_http_request_seconds_count", route=f"{V3}/events/", status="200") == 1
    assert api.value("pulp_tasks_http_request_seconds_count", method="HEAD", route=f"{V2}/tasks/", status="200") == 1
    worker = await measured.scrape("worker")
    assert worker.value("pulp_tasks_attempts_total", operation="patient", outcome="cancelled") == 1
    assert worker.value("pulp_tasks_stop_seconds_count") == 1
    async with asyncio.timeout(LIMIT_S):
        while not (await measured.scrape("worker")).value("pulp_tasks_heartbeat_seconds_count"):  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.1)

    for process in MEASURED:
        metrics = OF_PROCESS[process]
        shown = {name for name, _, _ in (await measured.scrape(process)).samples}
        gauges = {each.name for each in (*EVERY_PROCESS, *metrics) if each.kind is Kind.GAUGE}
        assert gauges - shown == set(), process
