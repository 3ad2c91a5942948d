"""Which partitions are read: few records are in hand, and a partition that is stuck holds up no other one."""

from dataclasses import dataclass

from pulp_processor.app import wanting

ENOUGH = 10_000


@dataclass
class Writer:
    has_room: bool
    held: int


IDLE = Writer(has_room=True, held=0)
WRITING = Writer(has_room=True, held=4_000)
AHEAD = Writer(has_room=False, held=9_000)
STUCK = Writer(has_room=False, held=0)
PAUSED = Writer(has_room=False, held=0)


def test_a_writer_without_a_next_batch_gets_one() -> None:
    assert wanting({0: IDLE, 1: WRITING, 3: PAUSED}, ENOUGH) == [0, 1]


def test_where_enough_is_in_hand_none_gets_more() -> None:
    assert wanting({0: AHEAD, 1: WRITING, 2: IDLE}, ENOUGH) == []


def test_stuck_partitions_hold_up_none_that_is_idle() -> None:
    assert wanting({0: STUCK, 1: STUCK, 2: STUCK, 3: IDLE}, ENOUGH) == [3]
