"""In spite of disconnects, each door gives every event that its filter selects exactly once, in order for each task.

A subscriber may also change the door at each disconnect: the cursor is the same. All doors share one log, one read
model and one API. Webhooks promise at-least-once delivery, so the first delivery of each event counts.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from pulp_events import Cursor, Filter, Position, admin, subscribe, subscribe_async
from pulp_events.codec import encode, key_of
from pulp_events.events import Event
from pulp_events.ids import new_id
from pulp_events.log import KafkaLog
from pulp_events.reader import Record
from pulp_events.topics import Topics
from pulp_events.webhook_log import KafkaWebhookLog
from pulp_processor.delivering.deliverer import Deliverer
from pulp_processor.delivering.settings import WebhookSettings
from pulp_projections.connection import connect
from pulp_projections.webhooks.reading import add_secret, progress_of

from tests.conftest import PARTITIONS
from tests.support.api_process import EventSource, add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.filtered_log import FILTERS, busy, by_partition, filtered, records_of
from tests.support.projection import append_all, execute, project, settings_of
from tests.support.site import PASSWORD, V3
from tests.support.webhooks import SECRET, EndpointServer, created, endpoint
from tests.support.webhooks import Received as Delivered

LIMIT_S = 60


class Site(NamedTuple):
    """The addresses of the doors."""

    kafka: str
    prefix: str
    url: str
    folder: Path


Door = Callable[[Site, Filter, str, int, int], tuple[list[Position], str]]
"""Reads from a cursor until the connection is cut after a number of events, or until there are `left`; returns the
events and the cursor."""


def by_subscription(
    site: Site, wanted: Filter, since: str, take: int, left: int, *, follow: bool = False
) -> tuple[list[Position], str]:
    with subscribe(site.kafka, prefix=site.prefix, since=since, filter=wanted, follow=follow) as events:
        found = [received.position for received in islice(events, min(take, left))]
        return found, str(events.cursor)


def by_async_subscription(
    site: Site, wanted: Filter, since: str, take: int, left: int, *, follow: bool = False
) -> tuple[list[Position], str]:
    async def read() -> tuple[list[Position], str]:
        found: list[Position] = []
        async with subscribe_async(site.kafka, prefix=site.prefix, since=since, filter=wanted, follow=follow) as events:
            async for received in events:
                found.append(received.position)
                if len(found) == min(take, left):
                    break
            return found, str(events.cursor)

    return asyncio.run(read())


def by_kafka(site: Site, wanted: Filter, since: str, take: int, left: int) -> tuple[list[Position], str]:
    """Kafka's own client, which stores offsets: the cursor in another form. The test filters by itself."""
    topic = f"{site.prefix}.events"
    ends = admin.end_offsets(site.kafka, topic, PARTITIONS)
    start = Cursor.at(admin.describe(site.kafka, topic).topic_id, dict.fromkeys(ends, 0))
    place = start if since == "beginning" else Cursor.parse(since)
    fits = {
        position
        for positions in filtered(records_of(site.kafka, topic, PARTITIONS), wanted).values()
        for position in positions
    }
    consumer = Consumer({"bootstrap.servers": site.kafka, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in place.positions.items()])
    found: list[Position] = []
    try:
        while len(found) < min(take, left) and place.positions != ends:
            message = consumer.poll(LIMIT_S)
            assert message is not None
            assert message.error() is None
            position = Position(message.partition() or 0, message.offset() or 0)
            place = place.past(position)
            found += [position] if position in fits else []
    finally:
        consumer.close()
    return found, str(place)


def by_stream(site: Site, wanted: Filter, since: str, take: int, left: int) -> tuple[list[Position], str]:
    """The connection is cut in the middle of an event."""
    source, bytes_left = EventSource(since if since != "beginning" else ""), take * 211
    query = {
        "since": "beginning",
        "type": wanted.types,
        "task": list(map(str, wanted.tasks)),
        "operation": wanted.operations,
        "resource": wanted.resources,
        "actor": wanted.actors,
        "group": list(map(str, wanted.groups)),
    }
    headers = {"Last-Event-ID": source.last_id} if source.last_id else {}
    with (
        httpx.Client(base_url=site.url, auth=("admin", PASSWORD), timeout=LIMIT_S, trust_env=False) as client,
        client.stream("GET", f"{V3}/events/", params=query, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        for data in answer.iter_bytes():
            source.feed(data[:bytes_left])
            bytes_left -= len(data)
            if bytes_left <= 0 or len(source.messages) >= left:
                break
    return [Position(*message.place) for message in source.messages], source.last_id or since


def by_command(site: Site, wanted: Filter, since: str, take: int, left: int) -> tuple[list[Position], str]:
    options = [
        *(text for name in wanted.types for text in ("--type", name)),
        *(text for task in wanted.tasks for text in ("--task", str(task))),
        *(text for name in wanted.operations for text in ("--operation", name)),
        *(text for name in wanted.resources for text in ("--resource", name)),
        *(text for name in wanted.actors for text in ("--actor", name)),
        *(text for group in wanted.groups for text in ("--group", str(group))),
    ]
    command = [sys.executable, "-m", "pulp_deploy", "events", "tail", "--no-follow", "--output", "json", *options]
    env = environment(site.folder, PULP_KAFKA=site.kafka, PULP_TOPIC_PREFIX=site.prefix)
    done = subprocess.run([*command, "--since", since], env=env, capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()[: min(take, left)]]
    return [Position(line["partition"], line["offset"]) for line in lines], lines[-1]["cursor"] if lines else since


DOORS: Mapping[str, Door] = {
    "subscription": by_subscription,
    "async": by_async_subscription,
    "kafka": by_kafka,
    "stream": by_stream,
    "command": by_command,
}


def followed(site: Site, wanted: Filter, visits: Sequence[tuple[Door, int]], count: int) -> list[Position]:
    """Everything that the connections received; the last one stays until everything is there."""
    found: list[Position] = []
    since = "beginning"
    for door, take in [*visits, (visits[-1][0], 1_000_000)]:
        if len(found) < count:
            new, since = door(site, wanted, since, take, count - len(found))
            found += new
    assert Cursor.parse(since) if found else since
    return found


class Webhooks:
    """Delivers to an endpoint of this process; the deliverer is cut off, as if killed, and another one takes over."""

    def __init__(self, kafka: str, database: str, topics: Topics, log: KafkaLog) -> None:
        self._kafka, self._database, self._topics, self._log = kafka, database, topics, log

    async def prepare(self) -> None:
        await execute(self._database, "insert into users (name, password_hash, role) values ('jo', 'x', 'operator')")

    def _deliverer(self) -> Deliverer:
        quick = {
            "PULP_WEBHOOK_ALLOW": "loopback",
            "PULP_WEBHOOK_BACKOFF_S": "0.02",
            "PULP_WEBHOOK_MAX_BACKOFF_S": "0.05",
        }
        return Deliverer(
            KafkaWebhookLog(self._log, self._kafka, self._topics.subscriptions),
            self._kafka,
            self._topics.subscriptions,
            self._topics.events,
            self._database,
            WebhookSettings.read(quick),
            self._log.end_offsets,
            is_scoped=False,
            environment={},
        )

    async def delivered(
        self, wanted: Filter, cuts: Sequence[int], failing: Sequence[bool], count: int
    ) -> list[Delivered]:
        """What an endpoint that fails in this pattern accepts until it has `count` events and the cursor is at the
        end."""
        answers = iter(failing)
        subscription_id, secret_id = new_id(), new_id()
        async with endpoint(lambda _: 503 if next(answers, False) else 204) as receiver:
            async with await connect(self._database, "test") as connection:
                await add_secret(connection, subscription_id, secret_id, SECRET)
            topic_id = admin.describe(self._kafka, self._topics.events).topic_id
            event = created(
                receiver.url(),
                name=str(subscription_id),
                topic_id=topic_id,
                wanted=wanted,
                secret_id=secret_id,
                subscription_id=subscription_id,
            )
            await KafkaWebhookLog(self._log, self._kafka, self._topics.subscriptions).append(event)
            ends = await self._log.end_offsets()
            for cut in (*cuts, None):
                delivering = asyncio.create_task(self._deliverer().run())
                try:
                    enough = count if cut is None else min(count, len(receiver.taken) + cut)
                    await receiver.have(partial(has_taken, receiver, enough))
                    while cut is None and await self._place(subscription_id) != ends:  # noqa: ASYNC110  # it tells nobody
                        await asyncio.sleep(0.02)
                finally:
                    delivering.cancel()
                    await asyncio.gather(delivering, return_exceptions=True)
            assert receiver.refused == []
            await execute(self._database, "update subscriptions set removed_at = now()")
            return receiver.taken

    async def _place(self, subscription_id: UUID) -> Mapping[int, int]:
        async with await connect(self._database, "test") as connection:
            found = await progress_of(connection, [subscription_id])
        return found[subscription_id].cursors if subscription_id in found else {}


def has_taken(receiver: EndpointServer, count: int) -> bool:
    return len({each.position for each in receiver.taken}) >= count


def first_deliveries(taken: Sequence[Delivered]) -> dict[str, list[Position]]:
    """Task → the positions of its events, in the order of their first deliveries."""
    found: dict[str, dict[Position, None]] = {}
    for each in taken:
        found.setdefault(each.body["subject"], {})[each.position] = None
    return {task_id: list(positions) for task_id, positions in found.items()}


@pytest.mark.timeout(600)
async def test_for_any_pattern_of_disconnects_every_door_gives_the_filtered_log(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**6)))
    print(f"seed {seed}: TEST_SEED={seed} repeats it")
    await add_admin(database)
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await append_all(log, busy(21, PARTITIONS))
    await project(settings_of(backend.kafka, database, topics), await log.end_offsets())
    records = records_of(backend.kafka, topics.events, PARTITIONS)
    subjects = {Position(each.partition, each.offset): json.loads(each.value or b"")["subject"] for each in records}
    webhooks = Webhooks(backend.kafka, database, topics, log)
    await webhooks.prepare()
    loop = asyncio.get_running_loop()
    async with api_process(backend.kafka, database, topics, tmp_path) as api:
        site = Site(backend.kafka, topics.events.removesuffix(".events"), api.url, tmp_path)

        def is_the_log(wanted: Filter, visits: Sequence[tuple[str, int]]) -> None:
            expected = filtered(records, wanted)
            doors = [(DOORS[name], take) for name, take in visits]
            found = by_partition(followed(site, wanted, doors, sum(map(len, expected.values()))))
            assert {partition: found.get(partition, []) for partition in expected} == expected

        def comes_by_webhook(wanted: Filter, cuts: Sequence[int], failing: Sequence[bool]) -> None:
            expected: dict[str, list[Position]] = {}
            for positions in filtered(records, wanted).values():
                for position in positions:
                    expected.setdefault(subjects[position], []).append(position)
            count = sum(map(len, expected.values()))
            delivering = webhooks.delivered(wanted, cuts, failing, count)
            taken = asyncio.run_coroutine_threadsafe(delivering, loop).result(LIMIT_S * 4)
            assert first_deliveries(taken) == expected

        async def holds(examples: int, check: Callable[..., None], *drawn: st.SearchStrategy[Any]) -> None:
            # Without shrinking: an example takes seconds, and is short anyway.
            some = settings(max_examples=examples, deadline=None, database=None, phases=(Phase.generate,))
            await asyncio.to_thread(seeded(seed)(some(given(*drawn)(check))))

        filters, cuts = st.sampled_from(FILTERS), st.integers(1, 40)

        def visits(names: Sequence[str], most: int) -> st.SearchStrategy[list[tuple[str, int]]]:
            return st.lists(st.tuples(st.sampled_from(names), cuts), min_size=1, max_size=most)

        for door, examples, most in (
            ("subscription", 6, 6),
            ("async", 4, 6),
            ("kafka", 4, 6),
            ("stream", 8, 6),
            ("command", 2, 2),
        ):
            print(f"door: {door}")
            await holds(examples, is_the_log, filters, visits([door], most))
        await holds(4, is_the_log, filters, visits(sorted(DOORS), 3))
        await holds(4, comes_by_webhook, filters, st.lists(cuts, max_size=4), st.lists(st.booleans(), max_size=40))
    await log.close()


async def test_subscriptions_that_are_cut_while_events_arrive_give_the_filtered_log(
    backend: Backend, topics: Topics, tmp_path: Path
) -> None:
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**6)))
    print(f"seed {seed}: TEST_SEED={seed} repeats it")
    chance, story = random.Random(seed), busy(seed, PARTITIONS)
    records, site = planned(story), Site(backend.kafka, topics.events.removesuffix(".events"), "", tmp_path)
    doors = [partial(by_subscription, follow=True), partial(by_async_subscription, follow=True)]
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)

    async def write() -> None:
        for start in range(0, len(story), 5):
            await append_all(log, story[start : start + 5])
            await asyncio.sleep(0.1)

    async with asyncio.timeout(LIMIT_S * 2), asyncio.TaskGroup() as group:
        group.create_task(write())
        following = []
        for wanted in chance.sample(FILTERS, 4):
            expected = filtered(records, wanted)
            visits = [(chance.choice(doors), chance.randrange(1, 25)) for _ in range(6)]
            found = asyncio.to_thread(followed, site, wanted, visits, sum(map(len, expected.values())))
            following.append((expected, group.create_task(found)))
    for expected, each in following:
        came = by_partition(each.result())
        assert {partition: came.get(partition, []) for partition in expected} == expected
    await log.close()


def planned(story: Sequence[tuple[Event, int]]) -> list[Record]:
    """The records that these events will become in an empty log."""
    offsets: Counter[int] = Counter()
    found = []
    for event, partition in story:
        found.append(Record(partition, offsets[partition], 0, key_of(event.task_id), encode(event)))
        offsets[partition] += 1
    return found
