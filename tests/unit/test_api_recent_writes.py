"""A user's recent writes are remembered for a while, so that the user's lists can wait for them."""

from pulp_api.recent_writes import REMEMBERED_S, RecentWrites
from pulp_events.task import Position


class StillClock:
    """Stands still until the test moves it."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_the_furthest_write_of_each_partition_is_known_until_it_is_old() -> None:
    clock = StillClock()
    writes = RecentWrites(clock)
    for actor, position in (
        ("user:jo", Position(2, 7)),
        ("user:jo", Position(2, 5)),
        ("user:jo", Position(0, 1)),
        ("user:ann", Position(2, 9)),
    ):
        writes.note(actor, position)
    assert writes.of("user:jo") == {2: 8, 0: 2}
    assert writes.of("user:ann") == {2: 10}
    assert writes.of("user:none") == {}
    clock.now_s += REMEMBERED_S + 1
    assert writes.of("user:jo") == {}
