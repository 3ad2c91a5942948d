"""The process that delivers is killed at random moments: nothing is lost, and each task stays in order."""

import asyncio
import os
import random
import signal
from itertools import groupby
from pathlib import Path

import pytest
from pulp_events import admin
from pulp_events.codec import decode
from pulp_events.events import Event
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.topics import Topics
from pulp_events.webhook_log import KafkaWebhookLog
from pulp_projections.connection import connect
from pulp_projections.webhooks.reading import add_secret

from tests.conftest import PARTITIONS
from tests.faults.test_faults_schedules import elected_pid
from tests.support.backends import Backend
from tests.support.processor_process import Installation, installation
from tests.support.projection import execute
from tests.support.webhooks import SECRET, SECRET_ID, SUBSCRIPTION, Received, created, endpoint

LIMIT_S = 120
KILLS = 3


def log_of(pulp: Installation) -> dict[str, list[str]]:
    """Task → the ids of its events, in the order of the log, each once."""
    ends = pulp.ends()
    found: dict[str, dict[str, None]] = {}
    with Reader(pulp.kafka, pulp.topics.events, dict.fromkeys(ends, 0)) as reader:
        for _, records in reader.until(ends):
            for record in records:
                event = decode(record.key, record.value)
                assert isinstance(event, Event)
                found.setdefault(str(event.task_id), {})[str(event.id)] = None
    return {task_id: list(ids) for task_id, ids in found.items()}


@pytest.mark.timeout(400)
async def test_killing_the_deliverer_loses_nothing_and_keeps_each_task_in_order(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**6)))
    print(f"seed {seed}: TEST_SEED={seed} repeats it")
    chance = random.Random(seed)
    await execute(database, "insert into users (name, password_hash, role) values ('jo', 'x', 'operator')")
    async with await connect(database, "test") as connection:
        await add_secret(connection, SUBSCRIPTION, SECRET_ID, SECRET)

    async def answer(_: Received) -> int:
        await asyncio.sleep(chance.random() * 0.01)
        return 503 if chance.random() < 0.1 else 204

    async with endpoint(answer) as receiver:
        topic_id = admin.describe(backend.kafka, topics.events).topic_id
        log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
        start = (0,) * PARTITIONS
        await KafkaWebhookLog(log, backend.kafka, topics.subscriptions).append(
            created(receiver.url(), topic_id=topic_id, offsets=start)
        )
        await log.close()
        settings = {"PULP_WEBHOOK_ALLOW": "loopback", "PULP_WEBHOOK_BACKOFF_S": "0.02", "PULP_WEBHOOK_ATTEMPTS": "50"}
        with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as pulp:
            for _ in range(2):
                await pulp.start(**settings).up()
            await pulp.happens(tasks=40, length=500)
            for _ in range(KILLS):
                seen = len(receiver.taken)
                more = chance.randint(1, 60)
                await receiver.have(lambda seen=seen, more=more: len(receiver.taken) >= seen + more, LIMIT_S)  # type: ignore[misc]
                os.kill(await elected_pid(pulp), signal.SIGKILL)
                pulp.start(**settings)
            expected = log_of(pulp)
            wanted = {event_id for ids in expected.values() for event_id in ids}
            await receiver.have(lambda: wanted <= {each.event_id for each in receiver.taken}, LIMIT_S)
            for each in pulp.processors:
                each.kill()

    assert receiver.refused == [], "every signature is right"
    firsts: dict[str, list[str]] = {}
    for task_id, requests in groupby(
        sorted(receiver.taken, key=lambda each: each.body["subject"]), key=lambda each: str(each.body["subject"])
    ):
        firsts[task_id] = list(dict.fromkeys(each.event_id for each in requests))
    for task_id, ids in expected.items():  # the reactor may have appended more since
        assert firsts[task_id][: len(ids)] == ids
    repeated = len(receiver.taken) - sum(map(len, firsts.values()))
    print(f"{len(wanted)} events, {repeated} of them delivered again after {KILLS} kills")
    assert repeated < KILLS * 20, "as many as were under way, and not whole stretches"
