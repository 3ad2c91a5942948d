"""Filters, cursors, asyncio and consumer groups of `subscribe`, on a real Kafka."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from itertools import islice
from random import Random
from uuid import uuid4

import pytest
from pulp_events import Cursor, Filter, Position, Subscription, subscribe, subscribe_async
from pulp_events import look_back as looking_back
from pulp_events.admin import describe, end_offsets
from pulp_events.async_subscription import AsyncSubscription
from pulp_events.errors import BadInput, OffsetOutOfRange, TopicMismatch
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import accepted, started
from tests.support.filtered_log import FILTERS, busy, by_partition, filtered, records_of
from tests.support.projection import append_all
from tests.support.retention import delete_records

LIMIT_S = 60


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    yield log
    await log.close()


@pytest.fixture
def prefix(topics: Topics) -> str:
    return topics.events.removesuffix(".events")


@pytest.mark.parametrize("wanted", FILTERS, ids=repr)
async def test_a_filter_gives_what_the_whole_log_gives_also_from_the_middle_of_every_story(
    log: KafkaLog, backend: Backend, prefix: str, topics: Topics, wanted: Filter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking_back, "_FIRST_BLOCK", 3)  # so that reading back takes several blocks
    await append_all(log, busy(11, PARTITIONS))
    expected = filtered(records_of(backend.kafka, topics.events, PARTITIONS), wanted)
    found: list[Position] = []
    since: Cursor | None = None
    for take in (3, 1, 7, 2, 19, 10_000):
        with subscribe(backend.kafka, prefix=prefix, since=since, filter=wanted, follow=False) as events:
            found += [received.position for received in islice(events, take)]
            since = events.cursor
    assert {partition: by_partition(found).get(partition, []) for partition in expected} == expected
    assert since is not None
    assert since.positions == end_offsets(backend.kafka, topics.events, PARTITIONS)


async def test_since_takes_every_form(log: KafkaLog, backend: Backend, prefix: str) -> None:
    for _ in range(3):
        await log.append(accepted(), 0)
    with subscribe(backend.kafka, prefix=prefix, since="beginning", follow=False) as events:
        first = next(iter(events))
        place = str(events.cursor)
    assert place.endswith(".1.0.0.0")
    for since, count in (
        (place, 2),
        (Cursor.parse(place), 2),
        ("now", 0),
        (first.time.isoformat(), 3),
        (datetime(2200, 1, 1, tzinfo=UTC), 0),
        (None, 3),
    ):
        with subscribe(backend.kafka, prefix=prefix, since=since, follow=False) as events:
            assert len(list(events)) == count, since
    foreign = "A" * 22 + place[22:]
    with pytest.raises(TopicMismatch, match="another topic"):
        subscribe(backend.kafka, prefix=prefix, since=foreign)
    with pytest.raises(BadInput, match="expected is beginning, now, a time"):
        subscribe(backend.kafka, prefix=prefix, since="yesterday")
    delete_records(backend.kafka, f"{prefix}.events", {0: 2})
    with pytest.raises(OffsetOutOfRange, match=r"event 0:1 comes next, and the log begins at 0:2: .* Start from"):
        subscribe(backend.kafka, prefix=prefix, since=place)


async def test_what_a_subscription_and_an_event_say_of_themselves(log: KafkaLog, backend: Backend, prefix: str) -> None:
    event = accepted()
    await log.append(event, 0)
    topic_id = describe(backend.kafka, f"{prefix}.events").topic_id
    with subscribe(backend.kafka, prefix=prefix, filter=Filter(operations=("sync",)), follow=False) as events:
        [received] = events
        assert repr(events) == (
            f"<Subscription to {prefix}.events on {backend.kafka}, at {Cursor(topic_id, (1, 0, 0, 0))},"
            " Filter(operations=('sync',)), 1 events so far>"
        )
    said = f"<Received 0:0 at {received.time:%Y-%m-%dT%H:%M:%SZ}: org.pulpproject.task.accepted.v1 of task"
    assert repr(received) == f"{said} {event.task_id}>"


async def test_an_iteration_that_is_told_to_stop_ends(log: KafkaLog, backend: Backend, prefix: str) -> None:
    await log.append(accepted(), 0)
    with subscribe(backend.kafka, prefix=prefix) as events:
        for _ in events:
            threading.Timer(0.1, events.stop).start()
    assert events.positions[0] == 1


async def test_asyncio_gets_the_same_events_and_a_cancelled_wait_loses_none(
    log: KafkaLog, backend: Backend, prefix: str, topics: Topics
) -> None:
    found: list[Position] = []
    async with asyncio.timeout(LIMIT_S), subscribe_async(backend.kafka, prefix=prefix) as events:
        writing = asyncio.create_task(append_all(log, busy(12, PARTITIONS)))
        ends = None
        while ends is None or events.positions != ends:
            try:
                async with asyncio.timeout(0.003):
                    received = await events.poll(10)
            except TimeoutError:
                received = None
            if received is not None:
                found.append(received.position)
            if writing.done() and ends is None:
                ends = await log.end_offsets()
        assert events.cursor.positions == ends
        assert repr(events).startswith("<AsyncSubscription to test-")
    expected = filtered(records_of(backend.kafka, topics.events, PARTITIONS), Filter())
    assert by_partition(found) == expected


async def test_async_iteration_stops_cleanly_and_its_errors_come_out(
    log: KafkaLog, backend: Backend, prefix: str
) -> None:
    await log.append(accepted(), 0)
    async with asyncio.timeout(LIMIT_S):
        async with subscribe_async(backend.kafka, prefix=prefix) as events:
            async for _ in events:
                events.stop()
        assert events.positions[0] == 1
        with pytest.raises(BadInput, match="expected is beginning"):
            async with subscribe_async(backend.kafka, prefix=prefix, since="yesterday"):
                pass


async def test_closing_ends_the_iteration_and_twice_is_harmless(log: KafkaLog, backend: Backend, prefix: str) -> None:
    places = [await log.append(accepted(), 0) for _ in range(3)]
    for group in (None, f"{prefix}-group"):
        found: list[Position] = []
        with subscribe(backend.kafka, prefix=prefix, group=group) as events:
            for received in events:
                found.append(received.position)
                if len(found) == 2:
                    events.close()
        events.close()
        assert found == places[:2]
        assert group or events.positions[0] == 2  # a member that has left a group has no partition
        with pytest.raises(RuntimeError, match="the subscription is closed"):
            list(events)
        with pytest.raises(RuntimeError, match="the subscription is closed"):
            events.poll(0)


async def test_closing_while_other_tasks_wait_ends_their_iterations(
    log: KafkaLog, backend: Backend, prefix: str
) -> None:
    place = await log.append(accepted(), 0)
    for group in (None, f"{prefix}-group"):
        came = asyncio.Event()
        async with asyncio.timeout(LIMIT_S), subscribe_async(backend.kafka, prefix=prefix, group=group) as events:

            async def follow(into: AsyncSubscription = events, some: asyncio.Event = came) -> list[Position]:
                found: list[Position] = []
                async for received in into:
                    found.append(received.position)
                    some.set()
                return found

            following = [asyncio.create_task(follow()) for _ in range(2)]
            await came.wait()
            await asyncio.gather(events.close(), events.close())
            found = [each for part in await asyncio.gather(*following) for each in part]
            await events.close()
        assert found == [place]
        assert group or events.positions[0] == 1
        with pytest.raises(RuntimeError, match="the subscription is closed"):
            await events.poll(0)


def taken(events: Subscription, count: int) -> list[Position]:
    """Take this many events, and mark each as done."""
    found: list[Position] = []
    for _ in range(LIMIT_S * 4):
        if len(found) == count:
            break
        received = events.poll(0.25)
        if received is not None:
            found.append(received.position)
    return found


class Members:
    """Members of one group, each in its own thread, that come and go."""

    def __init__(self, join: Callable[[], Subscription]) -> None:
        self._join = join
        self.stop = threading.Event()
        self.came: list[Position] = []
        """The events in the order in which members got them."""
        self.left, self.failed = 0, 0

    def stays(self) -> None:
        """A member that takes events until the end."""
        self._take(None)

    def comes_and_goes(self, random: Random) -> None:
        """Again and again, a member that takes some events; half of the members fail while they handle their last
        event."""
        while not self.stop.is_set():
            try:
                self._take(random.randrange(1, 40), fails=random.random() < 0.5)
            except ZeroDivisionError:
                self.failed += 1
            self.left += 1

    def _take(self, most: int | None, *, fails: bool = False) -> None:
        taken = 0
        with self._join() as events:
            while taken != most and not self.stop.is_set():
                received = events.poll(0.1)
                if received is not None:
                    self.came.append(received.position)
                    taken += 1
            if fails and taken == most:
                raise ZeroDivisionError


async def test_members_of_a_group_that_come_and_go_get_each_event_in_order(
    log: KafkaLog, backend: Backend, prefix: str, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    seed = int(os.environ.get("TEST_SEED", Random().randrange(10**6)))
    print(f"seed {seed}: TEST_SEED={seed} repeats it")
    random, wanted = Random(seed), Filter(operations=("sync", "publish"))
    members = Members(lambda: subscribe(backend.kafka, prefix=prefix, group=f"{prefix}-group", filter=wanted))
    async with asyncio.timeout(LIMIT_S * 2), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(members.stays))
        for _ in range(2):
            group.create_task(asyncio.to_thread(members.comes_and_goes, Random(random.random())))
        while members.left < 5:
            for partition in range(PARTITIONS):
                task_id = uuid4()
                await log.append(accepted(task_id, operation=random.choice(["sync", "publish", "copy"])), partition)
                await log.append(started(task_id), partition)
            await asyncio.sleep(0.05)
        expected = filtered(records_of(backend.kafka, topics.events, PARTITIONS), wanted)
        count = sum(map(len, expected.values()))
        while len(set(members.came)) < count:  # noqa: ASYNC110  # threads cannot be waited for from here
            await asyncio.sleep(0.05)
        members.stop.set()
    found = by_partition(members.came)
    assert {each: list(dict.fromkeys(places)) for each, places in found.items()} == expected
    last = await log.append(accepted(), 0)
    with subscribe(backend.kafka, prefix=prefix, group=f"{prefix}-group", filter=wanted) as events:
        while (place := (await asyncio.to_thread(taken, events, 1))[0]) != last:  # the failures at the very end
            members.came.append(place)
    assert set(members.came) == {place for places in expected.values() for place in places}
    if "could not be committed" not in caplog.text:  # as happens if another member comes at the same moment
        assert len(members.came) - count <= members.failed, "only what was not handled comes again"


async def test_what_a_member_had_not_done_comes_again_and_nothing_else(
    log: KafkaLog, backend: Backend, prefix: str
) -> None:
    places = [await log.append(started(), 0) for _ in range(6)]
    group = f"{prefix}-group"
    events = await asyncio.to_thread(subscribe, backend.kafka, prefix=prefix, group=group)
    assert repr(events).endswith(f"in group {group}, 0 events so far>")
    with pytest.raises(BadInput, match="the place of group"):
        _ = events.cursor
    assert await asyncio.to_thread(taken, events, 3) == places[:3]
    with pytest.raises(ZeroDivisionError), events:  # the third was not handled
        _ = 1 / 0
    with subscribe(backend.kafka, prefix=prefix, group=group) as events:
        assert await asyncio.to_thread(taken, events, 2) == places[2:4]
        events.commit()
        assert await asyncio.to_thread(taken, events, 1) == places[4:5]
    with subscribe(backend.kafka, prefix=prefix, group=group) as events:
        assert await asyncio.to_thread(taken, events, 1) == places[5:]
    with subscribe(backend.kafka, prefix=prefix, group=f"{group}-2", since="now") as events:
        assert events.poll(2) is None
        new = await log.append(started(), 1)
        assert await asyncio.to_thread(taken, events, 1) == [new]


def test_arguments_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(BadInput, match="the place of group g is in Kafka"):
        subscribe("127.0.0.1:1", group="g", positions={0: 1})
    with pytest.raises(BadInput, match="none of them can tell"):
        subscribe("127.0.0.1:1", group="g", follow=False)
    with pytest.raises(BadInput, match="not both"):
        subscribe("127.0.0.1:1", task_id=accepted().task_id, filter=Filter(tasks=(accepted().task_id,)))
