"""The origins of tasks in the read model equal those in the `accepted` events of the log."""

from uuid import UUID, uuid4

import psycopg
from pulp_events import subscribe
from pulp_events.events import Event
from pulp_events.filters import Origin
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_projections.reading.origins import origins

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.projection import append_all, project, settings_of, stories


async def test_the_origins_of_all_tasks(backend: Backend, database: str, topics: Topics) -> None:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await append_all(log, stories(7, PARTITIONS))
    await project(settings_of(backend.kafka, database, topics), await log.end_offsets())
    await log.close()
    expected: dict[UUID, Origin] = {}
    with subscribe(backend.kafka, prefix=topics.events.removesuffix(".events"), follow=False) as events:
        for received in events:
            origin = Origin.of(received.event) if isinstance(received.event, Event) else None
            if origin is not None and received.event is not None:
                expected.setdefault(received.event.task_id, origin)
    assert len(expected) > 20
    assert any(origin.resources for origin in expected.values())
    async with await psycopg.AsyncConnection.connect(database) as connection:
        found = await origins(connection, [*expected, uuid4()])
    assert {task_id: sorted_resources(origin) for task_id, origin in found.items()} == {
        task_id: sorted_resources(origin) for task_id, origin in expected.items()
    }


def sorted_resources(origin: Origin) -> tuple[object, ...]:
    """The read model has the exclusive resources first; no filter depends on the order."""
    return origin.operation, sorted(origin.resources), origin.actor, origin.group_id
