"""Recent events for subscriptions: in the order of each partition, whatever the brokers' clocks say."""

from pulp_events.reader import Record
from pulp_processor.delivering.feed import in_turn


def records(partition: int, *times_ms: int) -> list[Record]:
    """Consecutive records of a partition, appended at these times."""
    return [Record(partition, offset, at_ms, None, None) for offset, at_ms in enumerate(times_ms)]


def places(found: list[Record]) -> list[tuple[int, int]]:
    """Partition and offset of each."""
    return [(each.partition, each.offset) for each in found]


def test_a_busy_partition_does_not_hold_back_the_others() -> None:
    busy, quiet = records(0, *range(100, 200)), records(1, 101)
    assert places(in_turn([busy, quiet], 3)) == [(0, 0), (0, 1), (1, 0)]


def test_a_clock_that_was_set_back_changes_no_order_within_a_partition() -> None:
    """A page that left out an earlier record would lose it: the next page begins after the last record."""
    found = in_turn([records(0, 500, 501, 400, 401), records(1, 450)], 3)
    assert [place for place in places(found) if place[0] == 0] == [(0, 0), (0, 1)]
    assert places(found)[0] == (1, 0)
