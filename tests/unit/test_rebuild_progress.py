"""Percent, rate and time left, by a clock that the test moves."""

from dataclasses import dataclass

import pytest
from pulp_processor.rebuilding.progress import Phase, PhaseMeter, Progress


@dataclass
class Clock:
    now_s: float = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_the_rate_is_that_of_this_process_and_gives_the_time_left() -> None:
    clock, seen = Clock(), list[Progress]()
    meter = PhaseMeter(seen.append, Phase.FILLING, {0: 600, 1: 400}, {0: 200, 1: 0}, clock)
    assert (seen[-1].percent, seen[-1].rate, seen[-1].left_s) == (20.0, 0.0, None)
    clock.now_s += 2.0
    meter.moved(0, 400)
    assert (seen[-1].percent, seen[-1].rate, seen[-1].left_s) == (40.0, 100.0, 6.0)
    clock.now_s += 6.0
    meter.moved(1, 400)
    assert (seen[-1].done, seen[-1].rate) == (800, 75.0)
    assert seen[-1].left_s == pytest.approx(200 / 75)


def test_it_reports_five_times_a_second_at_most_and_the_end_at_once() -> None:
    clock, seen = Clock(), list[Progress]()
    meter = PhaseMeter(seen.append, Phase.FILLING, {0: 100}, {0: 0}, clock)
    for offset in range(1, 100):
        clock.now_s += 0.01
        meter.moved(0, offset)
    assert 5 <= len(seen) <= 6
    meter.moved(0, 100)
    assert (seen[-1].percent, seen[-1].left_s) == (100.0, 0.0)


def test_a_partition_past_its_end_counts_no_more_than_its_end() -> None:
    seen = list[Progress]()
    PhaseMeter(seen.append, Phase.CATCHING_UP, {0: 10, 1: 10}, {0: 500, 1: 5}, Clock())
    assert (seen[-1].done, seen[-1].total) == (15, 20)
