"""Pages of the audit: whatever arrives between them, each event is on one page, in the order of its partition."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from pulp_projections.reading.audit import EventPlace, cut_page

START = datetime(2026, 11, 24, tzinfo=UTC)


def place(partition: int, offset: int, second: int, size: int = 1) -> EventPlace:
    return EventPlace(partition, offset, START + timedelta(seconds=second), size)


class Log:
    """Partitions that grow, whose clocks may run backwards, and of whose events some match."""

    def __init__(self, chance: random.Random, partitions: int) -> None:
        self.chance, self.events = chance, [list[tuple[EventPlace, bool]]() for _ in range(partitions)]

    def grow(self) -> None:
        for partition, events in enumerate(self.events):
            for _ in range(self.chance.randrange(4)):
                made = place(partition, len(events), self.chance.randrange(50), self.chance.randrange(1, 9))
                events.append((made, self.chance.random() < 0.6))

    def ends(self) -> dict[int, int]:
        return {partition: len(events) for partition, events in enumerate(self.events)}

    def matching(self) -> list[list[EventPlace]]:
        return [[made for made, fits in events if fits] for events in self.events]


@pytest.mark.parametrize("seed", range(50))
def test_no_event_is_skipped_or_repeated_while_events_arrive(seed: int) -> None:
    chance = random.Random(seed)
    log = Log(chance, chance.randrange(1, 5))
    limit, most_bytes = chance.randrange(1, 6), chance.choice([3, 1000])
    told: list[EventPlace] = []
    following = dict.fromkeys(range(len(log.events)), 0)
    for turn in range(200):
        if turn < 20:
            log.grow()
        stops = log.ends()
        found = [
            made
            for partition, events in enumerate(log.matching())
            for made in [each for each in events if each.offset >= following[partition]][: limit + 1]
        ]
        cut = cut_page(found, stops, limit, most_bytes)
        assert len(cut.places) <= limit
        assert cut.places or not found
        told += cut.places
        following = cut.following
        if turn >= 20 and not cut.has_more:
            break
    by_partition = [[each for each in told if each.partition == partition] for partition in range(len(log.events))]
    assert by_partition == log.matching()
    assert following == log.ends()


def test_a_page_is_in_the_order_of_the_brokers_clocks() -> None:
    found = [place(0, 3, 10), place(0, 4, 30), place(1, 7, 20), place(1, 9, 40)]
    cut = cut_page(found, {0: 5, 1: 10}, 3)
    assert [(each.partition, each.offset) for each in cut.places] == [(0, 3), (1, 7), (0, 4)]
    assert (cut.following, cut.has_more) == ({0: 5, 1: 9}, True)


def test_a_page_without_a_match_goes_on_behind_what_it_has_looked_at() -> None:
    assert cut_page([], {0: 5, 1: 0}, 3) == ([], {0: 5, 1: 0}, False)


def test_a_large_event_is_told_alone() -> None:
    cut = cut_page([place(0, 0, 1, 900), place(0, 1, 2, 900)], {0: 2}, 10, 1000)
    assert ([each.offset for each in cut.places], cut.following, cut.has_more) == ([0], {0: 1}, True)
