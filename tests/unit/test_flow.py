"""Which partitions are fetched next, and for how long: a table of what writers have in hand, and what follows."""

from collections.abc import Mapping

import pytest
from pulp_processor.consuming.flow import FlowControl, WriterLoad, broker_wait_ms

FULL = 5_000
LONGEST_S = 1.0
SHORT_S = 0.02


def load(  # the parameters are those of `WriterLoad`
    queued: int = 0,
    *,
    batches: int | None = None,
    next_is_large: bool = False,
    in_flight: int = 0,
    in_flight_s: float = 0.0,
    is_reading: bool = True,
) -> WriterLoad:
    """A writer's load; its queued records are one batch unless `batches` says more."""
    count = batches if batches is not None else min(queued, 1)
    return WriterLoad(7, is_reading, count, queued, next_is_large, in_flight, in_flight_s)


IDLE = load()
WRITING = load(in_flight=FULL)
STUCK = load(FULL, in_flight=FULL, in_flight_s=1.1)
PLACING = load(is_reading=False)
THREE_QUEUED = load(3, batches=3, in_flight=1)
FOUR_QUEUED = load(4, batches=4, in_flight=1)
SMALL_QUEUED = load(100, in_flight=100)
LARGE_QUEUED = load(FULL, next_is_large=True)
TWO_LARGE_QUEUED = load(2 * FULL, batches=2, next_is_large=True)


@pytest.mark.parametrize(
    ("loads", "fetched", "timeout_s"),
    [
        ({0: IDLE}, {0}, LONGEST_S),
        ({0: WRITING}, {0}, LONGEST_S),  # its next batch is there before it has committed
        ({0: THREE_QUEUED}, {0}, LONGEST_S),
        ({0: FOUR_QUEUED}, set(), LONGEST_S),
        ({0: SMALL_QUEUED}, set(), LONGEST_S),
        ({0: LARGE_QUEUED}, {0}, LONGEST_S),  # a large batch is folded early
        ({0: TWO_LARGE_QUEUED}, set(), LONGEST_S),
        ({0: PLACING}, set(), LONGEST_S),  # its position is not known yet
        ({}, set(), LONGEST_S),
        # While one cannot be fetched, the wait for the others is short.
        ({0: IDLE, 1: SMALL_QUEUED}, {0}, SHORT_S),
        ({0: IDLE, 1: PLACING}, {0}, SHORT_S),
        # Three full batches in hand are enough for all; one record less is not.
        ({0: WRITING, 1: WRITING, 2: WRITING}, set(), LONGEST_S),
        ({0: WRITING, 1: WRITING, 2: load(in_flight=FULL - 1)}, {0, 1, 2}, LONGEST_S),
        ({0: load(FULL, in_flight=FULL), 1: WRITING, 2: IDLE}, set(), LONGEST_S),
        # A writer that waits for Postgres holds up no other.
        ({0: STUCK, 1: STUCK, 2: STUCK, 3: IDLE}, {3}, SHORT_S),
        ({0: load(FULL, in_flight=FULL, in_flight_s=0.9), 1: WRITING, 2: IDLE}, set(), LONGEST_S),
    ],
)
def test_the_table(loads: Mapping[int, WriterLoad], fetched: set[int], timeout_s: float) -> None:
    found = FlowControl(FULL).next_fetch(loads, loads.keys(), LONGEST_S)
    assert (set(found.epochs), found.timeout_s) == (fetched, timeout_s)


def test_a_partition_that_is_not_active_is_not_fetched_and_shortens_no_wait() -> None:
    found = FlowControl(FULL).next_fetch({0: IDLE, 1: IDLE}, {0}, LONGEST_S)
    assert (found.epochs, found.timeout_s) == ({0: 7}, LONGEST_S)


def test_an_active_partition_without_a_writer_is_not_fetched() -> None:
    found = FlowControl(FULL).next_fetch({0: IDLE}, {0, 1}, LONGEST_S)
    assert (set(found.epochs), found.timeout_s) == ({0}, SHORT_S)


@pytest.mark.parametrize(("leaves_out", "wait_ms"), [(False, 1_500), (True, 20)])
def test_a_broker_may_hold_a_request_for_less_time_if_it_leaves_out_partitions(leaves_out: bool, wait_ms: int) -> None:
    assert broker_wait_ms(1_500, leaves_out=leaves_out) == wait_ms
