"""Two processors, and a schedule that runs every ten seconds: the one that runs it is stopped and woken, and killed."""

import asyncio
import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pulp_events import admin
from pulp_events.codec import decode
from pulp_events.events import Accepted, Event
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.schedule import task_id_of_tick
from pulp_events.schedule_events import LEAST_INTERVAL_S
from pulp_events.schedule_log import KafkaScheduleLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.processor_process import Installation, installation
from tests.support.projection import execute
from tests.support.schedules import SCHEDULE, created

LIMIT_S = 90


async def runs(pulp: Installation, outcome: str = "submitted") -> list[datetime]:
    """The ticks of this outcome."""
    found = await execute(pulp.database, "select tick from schedule_runs where outcome = %s order by tick", [outcome])
    return [row[0].astimezone(UTC) for row in found]


async def more_runs(pulp: Installation, number: int) -> list[datetime]:
    """Returns once this many more ticks have been submitted."""
    wanted = len(await runs(pulp)) + number
    async with asyncio.timeout(LIMIT_S):
        while len(found := await runs(pulp)) < wanted:  # noqa: ASYNC110  # the tables tell nobody
            await asyncio.sleep(0.05)
    return found


async def elected_pid(pulp: Installation) -> int:
    """The pid of the process whose dispatcher is elected now."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            live = "select holder from dispatcher where renewed_at > now() - interval '2 s'"
            for (holder,) in await execute(pulp.database, live):
                pid = int(str(holder).split()[0].rsplit(":", 1)[1])
                if pid in [each.process.pid for each in pulp.processors if each.is_running()]:
                    return pid
            await asyncio.sleep(0.05)


def submitted(kafka: str, topics: Topics) -> list[Event]:
    """All `accepted` events in the log, also those without effect."""
    ends = admin.end_offsets(kafka, topics.events, PARTITIONS)
    with Reader(kafka, topics.events, dict.fromkeys(ends, 0)) as reader:
        records = [record for _, batch in reader.until(ends) for record in batch]
    events = [decode(record.key, record.value) for record in records]
    return [event for event in events if isinstance(event, Event) and isinstance(event.data, Accepted)]


@pytest.mark.timeout(400)
async def test_no_tick_runs_twice_whatever_becomes_of_those_who_run_it(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    resources = json.dumps([{"type": "repository", "id": "{repo_id}", "access": "exclusive"}])
    await execute(
        database,
        "insert into operations (name, cancellable, description, resources, registered_by) values ('sync', true, '', %s, 'w')",
        [resources],
    )
    await execute(database, "insert into users (name, password_hash, role) values ('jo', 'x', 'submitter')")
    start = datetime.now(UTC).replace(microsecond=0)
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await KafkaScheduleLog(log, backend.kafka, topics.schedules).append(
        created(interval_seconds=LEAST_INTERVAL_S, start=start, overlap="allow")
    )
    await log.close()
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as pulp:
        for _ in range(2):
            await pulp.start().up()
        await more_runs(pulp, 1)

        stopped = await elected_pid(pulp)
        os.kill(stopped, signal.SIGSTOP)
        try:
            await more_runs(pulp, 2)  # by the other one
            assert await elected_pid(pulp) != stopped
        finally:
            os.kill(stopped, signal.SIGCONT)
        await more_runs(pulp, 1)

        killed = await elected_pid(pulp)
        os.kill(killed, signal.SIGKILL)
        ticks = await more_runs(pulp, 2)
        for each in pulp.processors:
            each.kill()

    step = timedelta(seconds=LEAST_INTERVAL_S)
    assert all((tick - start) % step == timedelta(0) for tick in ticks)
    assert len(set(ticks)) == len(ticks)
    events = submitted(backend.kafka, topics)
    assert {event.task_id for event in events} >= {task_id_of_tick(SCHEDULE, tick) for tick in ticks}
    in_effect = await execute(
        database,
        "select task_id from task_events where type = 'org.pulpproject.task.accepted.v1' and effect = 'applied'",
    )
    assert len(in_effect) == len({row[0] for row in in_effect})
    possible = {task_id_of_tick(SCHEDULE, start + step * number): number for number in range(100)}
    assert {event.task_id for event in events} <= possible.keys()
    assert {event.actor for event in events} == {"user:jo"}
    assert await runs(pulp, "missed") == []  # a tick that came during a failover was run, though late
