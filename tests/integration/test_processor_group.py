"""A processor stays a member of its consumer group, whatever the brokers answer, and leaves it in good order."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance
from aiokafka.errors import KafkaError
from pulp_events import admin
from pulp_events.kafka import Servers
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.consuming import internals
from pulp_processor.consuming.aiokafka_settings import aiokafka_settings
from pulp_processor.consuming.app import ProcessorApp, group_of
from pulp_projections.connection import connect

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.processor_app import LIMIT_S, caught_up
from tests.support.projection import append_all, rows, settings_of, stories


async def test_it_joins_again_after_an_answer_that_nobody_expects(
    backend: Backend, database: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that has lost the other brokers answers SyncGroup with UNKNOWN_SERVER_ERROR."""
    send = CoordinatorGroupRebalance._send_sync_group_request  # aiokafka has no other way to the answer
    left = [KafkaError("UnknownError()"), KafkaError("UnknownError()")]

    async def failing(self: CoordinatorGroupRebalance, request: Any) -> Any:
        if left:
            raise left.pop()
        return await send(self, request)

    monkeypatch.setattr(CoordinatorGroupRebalance, "_send_sync_group_request", failing)
    settings = settings_of(backend.kafka, database, topics)
    log = KafkaLog(settings.kafka, settings.topics.events, PARTITIONS)
    await log.start()
    await append_all(log, stories(1, PARTITIONS, tasks=5, length=30))
    ends = await log.end_offsets()
    await log.close()
    await caught_up(settings, ends)
    assert len(await rows(database, "task_events")) == sum(ends.values())


async def until(holds: Callable[[], bool]) -> None:
    """Wait for an assignment, which Faust reports to nobody else."""
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def members(kafka: Servers, group: str) -> list[str]:
    """The names of the members, from Kafka."""
    client = AIOKafkaAdminClient(**aiokafka_settings(kafka))
    try:
        await client.start()
        (answer,) = await client.describe_consumer_groups([group])
    finally:
        await client.close()
    (found,) = answer.to_object()["groups"]
    return [member["member_id"].split("-")[0] for member in found["members"]]


async def test_who_stops_leaves_the_group_to_the_others_and_the_last_one_keeps_its_place(
    backend: Backend, database: str, topics: Topics
) -> None:
    settings = settings_of(backend.kafka, database, topics)
    topic_id = (await asyncio.to_thread(admin.describe, settings.kafka, topics.events)).topic_id
    internals.install()
    one, other = (ProcessorApp(replace(settings, instance=name), topic_id) for name in ("one", "other"))
    await one.start()
    await until(lambda: len(one.owned) == PARTITIONS)
    await other.start()
    await until(lambda: bool(one.owned and other.owned) and not one.owned & other.owned)
    await one.close_writers()
    await one.stop()
    assert await members(settings.kafka, group_of(settings)) == ["other"]
    await until(lambda: len(other.owned) == PARTITIONS)
    await other.close_writers()
    await other.stop()
    assert await members(settings.kafka, group_of(settings)) == ["other"]


async def test_what_is_assigned_once_the_writers_are_closed_opens_no_connection(
    backend: Backend, database: str, topics: Topics
) -> None:
    """The group may rebalance between the end of the writers and the leave."""
    settings = settings_of(backend.kafka, database, topics)
    topic_id = (await asyncio.to_thread(admin.describe, settings.kafka, topics.events)).topic_id
    internals.install()
    app = ProcessorApp(settings, topic_id)
    await app.start()
    await until(lambda: len(app.positions()) == PARTITIONS)
    await app.close_writers()
    app.assigned(set(range(PARTITIONS)))
    await app.stop()
    async with await connect(database, "test") as connection:
        cursor = await connection.execute(
            "select application_name from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid() and application_name like 'pulp-%'"
        )
        assert await cursor.fetchall() == []
