"""Publishes what each task is now, after the commit of the events that made it so.

It reads committed rows of the projection in pages, without locking out writers. Kafka stores its position in one
transaction with the published records, so a crash loses nothing and publishes nothing wrong.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple, Never

from psycopg import AsyncConnection
from pulp_events import admin
from pulp_events.codec import key_of
from pulp_events.errors import LogError, TopicMismatch
from pulp_events.kafka import Servers
from pulp_events.task_states import encode_state
from pulp_events.topics import Topics
from pulp_projections.away import ANY, each_once, keep_trying
from pulp_projections.connection import connect
from pulp_projections.generations import active_generation
from pulp_projections.plans import ONLY_BY_KEYS, KeptPlans
from pulp_projections.sql import load
from pulp_projections.stored_tasks import load_tasks

from pulp_processor.publishing.state_log import StateLog, StatePlace, StateRecord

_SQL: Final = load("pulp_processor.publishing", "states.sql")
_PERIOD_S: Final = 0.25
_PAGE_EVENTS: Final = 2000
_PAUSES_S: Final = (1.0, 2.0, 5.0)
_log = logging.getLogger("pulp.states")


class StatePublisher:
    """Runs in one processor at a time; if two believe that they do, Kafka lets one of them write.

    Another generation of the read model may show other states, so each task is published again after an activation.
    """

    def __init__(self, servers: Servers, topics: Topics, conninfo: str) -> None:
        self._servers, self._topics, self._conninfo = servers, topics, conninfo

    async def run(self) -> Never:
        """Publish for ever; wait while Kafka, its topic or Postgres is away."""
        warn = each_once(partial(_log.warning, "states of tasks are not published now: %s"))
        await keep_trying(self._connect_and_publish, warn, on=(*ANY, LogError, TimeoutError), pauses_s=_PAUSES_S)
        raise AssertionError("it ends by cancelling only")

    async def _connect_and_publish(self) -> Never:
        partitions = await asyncio.to_thread(self._look)
        async with await connect(self._conninfo, "pulp-states", settings=ONLY_BY_KEYS) as connection:
            log = await asyncio.to_thread(StateLog.open, self._servers, self._topics, partitions)
            try:
                places = await asyncio.to_thread(log.places)
                plans = KeptPlans()
                while True:
                    await plans.renew(connection)
                    if not await publish_page(connection, log, places):
                        await asyncio.sleep(_PERIOD_S)
            finally:
                await asyncio.to_thread(log.close)

    def _look(self) -> int:
        """The number of partitions. Raises `LogError`."""
        kafka = admin.connect(self._servers)
        events, states = (admin.describe(kafka, topic) for topic in (self._topics.events, self._topics.states))
        if states.partitions != events.partitions:
            raise TopicMismatch(
                f"topic {states.name} has {states.partitions} partitions, and {events.name} has {events.partitions}:"
                " delete it, and have it created again: pulp-tasks topics create, pulp-tasks states rebuild"
            )
        return events.partitions


async def publish_page(connection: AsyncConnection, log: StateLog, places: dict[int, StatePlace]) -> bool:
    """Publish a page of each partition, and move the places on; False if there was nothing to do.

    Raises `psycopg.Error`, `LogUnavailable`, `LogRefused`.
    """
    generation = await active_generation(connection)
    if generation is None:
        return False
    positions: dict[int, int] = dict(await (await connection.execute(_SQL["positions"])).fetchall())
    pages = list(_pages(positions, places, generation))
    if not pages:
        return False
    records = [record for page in pages for record in await _records(connection, page)]
    if await active_generation(connection) != generation:
        return True  # another generation was activated meanwhile, so the rows may be of either one
    new = {page.partition: StatePlace(page.end, generation) for page in pages}
    await asyncio.to_thread(log.publish, records, new)
    places.update(new)
    return True


class _Page(NamedTuple):
    """Offsets of a partition whose tasks are published at once."""

    partition: int
    begin: int
    end: int
    is_last: bool
    """Whether more is not projected."""


def _pages(positions: Mapping[int, int], places: Mapping[int, StatePlace], generation: int) -> Iterator[_Page]:
    for partition, next_offset in positions.items():
        place = places.get(partition)
        begin = 0 if place is None or place.generation != generation else place.next_offset
        if begin < next_offset:
            end = min(next_offset, begin + _PAGE_EVENTS)
            yield _Page(partition, begin, end, is_last=end == next_offset)


async def _records(connection: AsyncConnection, page: _Page) -> list[StateRecord]:
    """The tasks that the page's events have changed, as they are now; those that a later page has come with that."""
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        task_ids = [row[0] for row in await (await connection.execute(_SQL["changed"], page._asdict())).fetchall()]
        tasks = await load_tasks(connection, task_ids) if task_ids else {}
    return [
        StateRecord(key_of(task.task_id), encode_state(task), page.partition)
        for task in sorted(tasks.values(), key=lambda task: task.offset)
        if page.is_last or task.offset < page.end
    ]
