"""A subscription continues where it was after a fault; a double reads the log."""

from collections.abc import Mapping
from uuid import UUID

import pytest
from pulp_events.admin import TopicInfo
from pulp_events.async_subscription import AsyncSubscription
from pulp_events.codec import encode, key_of
from pulp_events.errors import LogUnavailable
from pulp_events.events import Event
from pulp_events.filters import EVERYTHING, Filter, Origin
from pulp_events.kafka import Kafka
from pulp_events.look_back import LookBack
from pulp_events.reader import Reader, Record
from pulp_events.subscription import Source, Subscription
from pulp_events.task import Position

from tests.support.events import accepted, started

FAULT = LogUnavailable("Kafka is away")


class Pages(Reader):
    """Returns each of these pages once, in place of Kafka's; an error among them is raised once."""

    def __init__(self, *pages: Mapping[int, list[Record]] | LogUnavailable) -> None:
        self.pages = list(pages)

    @property
    def positions(self) -> dict[int, int]:
        return {0: 0, 1: 0}

    def poll(self, timeout_s: float, *, most: int = 5000) -> dict[int, list[Record]]:
        page = self.pages.pop(0) if self.pages else {}
        if isinstance(page, LogUnavailable):
            raise page
        return dict(page)

    def close(self) -> None:
        """Nothing: there is no connection."""


def record(event: Event, partition: int, offset: int) -> Record:
    """The event as the log has it."""
    return Record(partition, offset, 0, key_of(event.task_id), encode(event))


def subscription(reader: Reader, wanted: Filter = EVERYTHING) -> Subscription:
    """A subscription that reads from this reader."""
    return Subscription(lambda _: Source(Kafka("127.0.0.1:1"), TopicInfo("t", "id", 2), reader, None, None), wanted)


def test_records_whose_tasks_could_not_be_looked_up_are_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = started(UUID(int=1)), started(UUID(int=2)), started(UUID(int=1))
    faults = [FAULT]

    def find(_: LookBack, wanted: Mapping[UUID, Position]) -> dict[UUID, Origin]:
        if faults:
            raise faults.pop()
        return {task_id: Origin(operation="sync", actor="user:jo") for task_id in wanted}

    monkeypatch.setattr(LookBack, "find", find)
    pages = {0: [record(first, 0, 0)], 1: [record(second, 1, 0)]}, {0: [record(third, 0, 1)]}
    events = subscription(Pages(*pages), Filter(operations=("sync",)))
    with pytest.raises(LogUnavailable):
        events.poll(0)
    found = [events.poll(0) for _ in range(3)]
    assert [each and each.event for each in found] == [first, second, third]
    assert events.positions == {0: 2, 1: 1}


def test_records_that_came_with_a_rebalance_are_not_skipped() -> None:
    """A single call of a group's reader gives up partitions, and returns records of the others."""
    kept, lost = accepted(UUID(int=1)), accepted(UUID(int=2))

    class Rebalanced(Pages):
        def poll(self, timeout_s: float, *, most: int = 5000) -> dict[int, list[Record]]:
            events._drop({1})
            return super().poll(timeout_s, most=most)

    events = subscription(Rebalanced({0: [record(kept, 0, 0)]}, {1: [record(lost, 1, 0)]}))
    found = events.poll(0)
    assert found is not None
    assert found.event == kept


async def test_an_async_subscription_goes_on_after_a_fault_too() -> None:
    event = accepted()
    async with AsyncSubscription(lambda: subscription(Pages(FAULT, {0: [record(event, 0, 0)]}))) as events:
        with pytest.raises(LogUnavailable):
            await events.poll(0)
        found = await events.poll(0)
        assert found is not None
        assert found.event == event
