"""Which partitions are read: few batches wait, and no partition waits for another one's."""

from dataclasses import dataclass

from pulp_processor.app import wanting


@dataclass
class Writer:
    has_room: bool
    is_writing: bool
    is_ahead: bool


IDLE = Writer(has_room=True, is_writing=False, is_ahead=False)
WRITING = Writer(has_room=True, is_writing=True, is_ahead=False)
AHEAD = Writer(has_room=False, is_writing=True, is_ahead=True)
PAUSED = Writer(has_room=False, is_writing=False, is_ahead=False)


def test_a_writer_without_a_next_batch_gets_one() -> None:
    assert wanting({0: IDLE, 1: WRITING, 2: AHEAD, 3: PAUSED}) == [0, 1]


def test_where_enough_batches_wait_only_idle_writers_get_one() -> None:
    assert wanting({0: AHEAD, 1: WRITING, 2: AHEAD, 3: IDLE}) == [3]


def test_stuck_partitions_hold_up_none_that_is_idle() -> None:
    assert wanting({0: AHEAD, 1: AHEAD, 2: AHEAD, 3: IDLE}) == [3]
