"""Filters, cursors, asyncio and consumer groups of `subscribe`, on a real Kafka."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import islice

import pytest
from pulp_events import Cursor, Filter, Position, Subscription, subscribe, subscribe_async
from pulp_events import look_back as looking_back
from pulp_events.admin import describe, end_offsets
from pulp_events.errors import BadInput, TopicMismatch
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import accepted, started
from tests.support.filtered_log import FILTERS, busy, by_partition, filtered, records_of
from tests.support.projection import append_all

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
    monkeypatch.setattr(looking_back, "_FIRST_BLOCK", 3)  # so that a look back takes several blocks
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


def taken(events: Subscription, count: int) -> list[Position]:
    """This many events, each marked as done."""
    found: list[Position] = []
    for _ in range(LIMIT_S * 4):
        if len(found) == count:
            break
        received = events.poll(0.25)
        if received is not None:
            found.append(received.position)
    return found


async def test_members_of_a_group_share_the_events(
    log: KafkaLog, backend: Backend, prefix: str, topics: Topics
) -> None:
    await append_all(log, busy(13, PARTITIONS))
    wanted = Filter(operations=("sync", "publish"))
    expected = filtered(records_of(backend.kafka, topics.events, PARTITIONS), wanted)
    count = sum(map(len, expected.values()))

    def member(found: list[Position], stop: threading.Event) -> None:
        with subscribe(backend.kafka, prefix=prefix, group=f"{prefix}-group", filter=wanted) as events:
            while not stop.is_set():
                received = events.poll(0.1)
                if received is not None:
                    found.append(received.position)

    stop, shares = threading.Event(), [[], []]  # type: tuple[threading.Event, list[list[Position]]]
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(asyncio.to_thread(member, share, stop))
        while len(set(shares[0]) | set(shares[1])) < count:  # noqa: ASYNC110  # threads cannot be waited for from here
            await asyncio.sleep(0.05)
        stop.set()
    came = by_partition(shares[0] + shares[1])
    assert {each: sorted(set(came.get(each, []))) for each in expected} == expected
    with subscribe(backend.kafka, prefix=prefix, group=f"{prefix}-group") as events:  # all of it is done
        last = await log.append(accepted(), 0)
        assert await asyncio.to_thread(taken, events, 1) == [last]


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
