"""A processor stays a member of its consumer group, whatever the brokers answer amid a rebalance."""

from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance
from aiokafka.errors import KafkaError
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.processor_app import caught_up
from tests.support.projection import append_all, rows, settings_of, stories


async def test_it_joins_again_after_an_answer_that_nobody_expects(
    backend: Backend, database: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a coordinator answers that has lost the other brokers: UNKNOWN_SERVER_ERROR to SyncGroup."""
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
