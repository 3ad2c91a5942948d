"""The watchdog by itself: it knows only what it is shown."""

import pytest
from pulp_processor.consuming.watchdog import PartitionProgress, PartitionStalled, Watchdog


def check(watchdog: Watchdog, times: int, next_offset: int, end: int, *, is_waiting: bool = False) -> None:
    for _ in range(times):
        watchdog.check({7: PartitionProgress(next_offset, is_waiting)}, {7: end})


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(stall_s=60)


def test_ten_checks_are_the_stall_time(watchdog: Watchdog) -> None:
    assert watchdog.period_s * 10 == 60


def test_lag_without_progress_for_the_stall_time(watchdog: Watchdog) -> None:
    check(watchdog, 10, 5, 9)
    with pytest.raises(PartitionStalled, match="partition 7 is at offset 5 of 9 and has not moved for 60 s"):
        check(watchdog, 1, 5, 9)


def test_any_progress_begins_anew(watchdog: Watchdog) -> None:
    for next_offset in range(100):
        check(watchdog, 10, next_offset, 1000)


def test_a_log_that_grows_is_no_progress(watchdog: Watchdog) -> None:
    for end in range(9, 19):
        check(watchdog, 1, 5, end)
    with pytest.raises(PartitionStalled):
        check(watchdog, 1, 5, 19)


def test_without_lag_nothing_stalls(watchdog: Watchdog) -> None:
    check(watchdog, 1000, 9, 9)
    check(watchdog, 10, 9, 10)  # and the time before does not count


def test_postgres_away_is_not_its_concern(watchdog: Watchdog) -> None:
    check(watchdog, 9, 5, 9)
    check(watchdog, 1000, 5, 9, is_waiting=True)
    check(watchdog, 10, 5, 9)


def test_a_partition_that_was_away_meanwhile_begins_anew(watchdog: Watchdog) -> None:
    check(watchdog, 10, 5, 9)
    watchdog.check({}, {7: 9})
    check(watchdog, 10, 5, 9)


def test_after_kafka_was_away_it_begins_anew(watchdog: Watchdog) -> None:
    check(watchdog, 10, 5, 9)
    watchdog.forget()
    check(watchdog, 10, 5, 9)


def test_each_partition_counts_for_itself(watchdog: Watchdog) -> None:
    def both(number: int) -> None:
        watchdog.check({1: PartitionProgress(0, False), 2: PartitionProgress(number, False)}, {1: 1, 2: 100})

    for number in range(10):
        both(number)
    with pytest.raises(PartitionStalled, match="partition 1 "):
        both(10)
