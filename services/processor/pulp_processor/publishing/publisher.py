"""Publishes what each task is now, after the commit of the events that made it so.

It reads committed rows of the projection in pages, without locking out writers. Kafka stores its position in one
transaction with the published records, so a crash loses nothing and publishes nothing wrong.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, NamedTuple, Never
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events import admin
from pulp_events.codec import key_of
from pulp_events.errors import LogError, LogUnavailable, TopicMismatch, TopicNotFound
from pulp_events.kafka import Servers
from pulp_events.task import Task
from pulp_events.task_states import encode_state
from pulp_events.topics import Topics
from pulp_projections.away import ANY, each_once, keep_trying
from pulp_projections.connection import connect
from pulp_projections.generations import active_generation
from pulp_projections.plans import ONLY_BY_KEYS, KeptPlans
from pulp_projections.sql import load
from pulp_projections.stored_tasks import load_tasks

from pulp_processor.publishing.state_log import StateLog, StatePlace, StateRecord, places_of

_SQL: Final = load("pulp_processor.publishing", "states.sql")
_PERIOD_S: Final = 0.25
_PAGE_EVENTS: Final = 2000
_PAGE_TASKS: Final = 2000
_BEFORE_ALL: Final = UUID(int=0)
_ATTEMPTS: Final = 3
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

    A partition without a place in the active generation gets all of its tasks, page by page, and then those that events
    have changed meanwhile. Raises `psycopg.Error`, `LogUnavailable`, `LogRefused`.
    """
    generation = await active_generation(connection)
    if generation is None:
        return False
    positions: dict[int, int] = dict(await (await connection.execute(_SQL["positions"])).fetchall())
    incomplete = _incomplete(positions, places, generation)
    pages = [] if incomplete else list(_pages(positions, places))
    if incomplete:
        records, new = await _all_tasks(connection, incomplete)
    elif pages:
        records = [record for page in pages for record in await _changed(connection, page)]
        new = {page.partition: StatePlace(page.end, generation) for page in pages}
    else:
        return False
    if await active_generation(connection) != generation:
        return True  # another generation was activated meanwhile, so the rows may be of either one
    await asyncio.to_thread(log.publish, records, new)
    places.update(new)
    return True


def _incomplete(
    positions: Mapping[int, int], places: Mapping[int, StatePlace], generation: int
) -> dict[int, StatePlace]:
    """The partitions of which not every task is published, with the places to go on from."""
    found = {}
    for partition, next_offset in positions.items():
        place = places.get(partition)
        if place is None or place.generation != generation:
            found[partition] = StatePlace(next_offset, generation, _BEFORE_ALL)
        elif place.after is not None:
            found[partition] = place
    return found


async def _all_tasks(
    connection: AsyncConnection, incomplete: Mapping[int, StatePlace]
) -> tuple[list[StateRecord], dict[int, StatePlace]]:
    """The next tasks of these partitions, and the places behind them.

    They are read from the tasks and not by their events, since the events of detached months are not in the history.
    """
    after = min(place.after or _BEFORE_ALL for place in incomplete.values())
    async with _one_snapshot(connection):
        named = {"after": after, "most": _PAGE_TASKS}
        task_ids = [row[0] for row in await (await connection.execute(_SQL["next"], named)).fetchall()]
        tasks = await load_tasks(connection, task_ids) if task_ids else {}
    reached = task_ids[-1] if len(task_ids) == _PAGE_TASKS else None
    records = [_record(task) for task_id in task_ids if (task := tasks[task_id]).partition in incomplete]
    return records, {partition: place._replace(after=reached) for partition, place in incomplete.items()}


async def publish_again(
    servers: Servers, topics: Topics, conninfo: str, task_id: UUID, partition: int, former: Collection[int] = ()
) -> bool:
    """Publish what a task is now, once more; False without the topic of states, or if nothing was ever published to it.

    For a task whose rows were replaced although no event came, which a publisher at work does not notice. `partition`
    is the task's. A task without a row gets a tombstone, as it does in the `former` partitions that its row named.
    Raises `psycopg.Error`, `LogError`.
    """
    if (partitions := await asyncio.to_thread(_partitions_in_use, servers, topics)) is None:
        return False
    async with await connect(conninfo, "pulp-states", settings=ONLY_BY_KEYS) as connection:
        for further in range(_ATTEMPTS - 1, -1, -1):
            log = await asyncio.to_thread(StateLog.open, servers, topics, partitions)
            try:
                # Read after every other publisher is fenced off: none has published a later state.
                task = (await load_tasks(connection, [task_id])).get(task_id)
                again = StateRecord(key_of(task_id), None, partition) if task is None else _record(task)
                gone = [StateRecord(again.key, None, other) for other in former if other != again.partition]
                await asyncio.to_thread(log.publish, [*gone, again], {})
                break
            except LogUnavailable:  # a publisher at work has fenced this one off in turn
                if not further:
                    raise
            finally:
                await asyncio.to_thread(log.close)
    return True


def _partitions_in_use(servers: Servers, topics: Topics) -> int | None:
    try:
        partitions = admin.describe(servers, topics.states).partitions
    except TopicNotFound:
        return None
    return partitions if places_of(servers, topics, partitions) else None


class _Page(NamedTuple):
    """Offsets of a partition whose tasks are published at once."""

    partition: int
    begin: int
    end: int
    is_last: bool
    """Whether more is not projected."""


def _pages(positions: Mapping[int, int], places: Mapping[int, StatePlace]) -> Iterator[_Page]:
    for partition, next_offset in positions.items():
        place = places.get(partition)
        if place is not None and place.next_offset < next_offset:
            end = min(next_offset, place.next_offset + _PAGE_EVENTS)
            yield _Page(partition, place.next_offset, end, is_last=end == next_offset)


async def _changed(connection: AsyncConnection, page: _Page) -> list[StateRecord]:
    """The tasks that the page's events have changed, as they are now; those that a later page has come with that."""
    async with _one_snapshot(connection):
        task_ids = [row[0] for row in await (await connection.execute(_SQL["changed"], page._asdict())).fetchall()]
        tasks = await load_tasks(connection, task_ids) if task_ids else {}
    return [
        _record(task)
        for task in sorted(tasks.values(), key=lambda task: task.offset)
        if page.is_last or task.offset < page.end
    ]


def _record(task: Task) -> StateRecord:
    return StateRecord(key_of(task.task_id), encode_state(task), task.partition)


@asynccontextmanager
async def _one_snapshot(connection: AsyncConnection) -> AsyncIterator[None]:
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        yield
