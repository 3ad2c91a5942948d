"""Limits on failed logins, and the queue before the password check: who is refused, and who goes first."""

import asyncio

import pytest
from pulp_api.logins.basic import RequestOrigin
from pulp_api.logins.limits import PAIR_BURST, PAIR_EVERY_S, SITE_BURST, Lane, LoginLimits, LoginsLimited
from pulp_api.logins.queue import LoginQueue
from pulp_api.logins.recent import Recent

HERE = RequestOrigin("10.0.0.1", 1000)
ELSEWHERE = RequestOrigin("10.0.0.2", 1000)


def fail(limits: LoginLimits, name: str, origin: RequestOrigin, times: int, now_s: float = 0.0) -> None:
    for _ in range(times):
        limits.admit(name, origin, now_s).failed(now_s)


def is_let_in(limits: LoginLimits, name: str, origin: RequestOrigin, now_s: float = 0.0) -> bool:
    try:
        limits.admit(name, origin, now_s).undone(now_s)
    except LoginsLimited:
        return False
    return True


def test_who_guesses_is_refused_with_a_time_and_nobody_else_is() -> None:
    limits = LoginLimits()
    fail(limits, "admin", HERE, PAIR_BURST)
    with pytest.raises(LoginsLimited) as caught:
        limits.admit("admin", HERE, 0.0)
    assert caught.value.retry_after_s == PAIR_EVERY_S
    assert not is_let_in(limits, "ADMIN", HERE)
    assert not is_let_in(limits, "admin", HERE, PAIR_EVERY_S - 1)
    assert is_let_in(limits, "admin", HERE, PAIR_EVERY_S)  # one more, and so on
    assert is_let_in(limits, "admin", ELSEWHERE)  # the user is not locked out
    assert is_let_in(limits, "jo", HERE)  # nor is anybody at the same address


def test_all_ways_to_write_a_name_share_its_attempts() -> None:
    limits = LoginLimits()
    forms = ["zo\u00eb", "zoe\u0308", "ZO\u00cb", "\uff5a\uff4f\u00eb"]  # composed, not, in capitals, in full width
    for number in range(PAIR_BURST):
        fail(limits, forms[number % len(forms)], HERE, 1)
    assert not [form for form in forms if is_let_in(limits, form, HERE)]


def test_attempts_at_the_same_time_count_before_they_have_failed() -> None:
    limits = LoginLimits()
    attempts = [limits.admit("admin", HERE, 0.0) for _ in range(PAIR_BURST)]
    assert not is_let_in(limits, "admin", HERE)
    attempts[0].undone(0.0)  # Postgres was away: the outcome is unknown
    assert is_let_in(limits, "admin", HERE)


def test_a_right_password_forgets_the_failures() -> None:
    limits = LoginLimits()
    fail(limits, "admin", HERE, PAIR_BURST - 1)
    limits.admit("admin", HERE, 0.0).succeeded()
    fail(limits, "admin", HERE, PAIR_BURST)
    assert not is_let_in(limits, "admin", HERE)


def test_wrong_answers_come_late_only_after_some() -> None:
    limits = LoginLimits()
    assert [limits.admit("jo", HERE, 0.0).failed(0.0) for _ in range(6)] == [False] * 3 + [True] * 3


def test_who_tries_one_password_on_many_names_is_refused_but_not_the_neighbour_behind_the_same_nat() -> None:
    limits = LoginLimits()
    for number in range(SITE_BURST):
        fail(limits, f"name-{number}", HERE, 1)
    assert not is_let_in(limits, "one-more", HERE)
    neighbour = limits.admit("jo", RequestOrigin(HERE.address, 2000), 0.0)
    assert neighbour.lane is Lane.SUSPECT  # after all others, but let in
    assert limits.admit("jo", ELSEWHERE, 0.0).lane is Lane.USUAL
    neighbour.undone(0.0)
    neighbour.refused()  # too many waited: a new connection gets a better place
    assert limits.admit("jo", RequestOrigin(HERE.address, 2000), 0.0).lane is Lane.AGAIN
    assert limits.admit("jo", RequestOrigin(HERE.address, 2001), 0.0).lane is Lane.SUSPECT


def test_a_user_who_has_signed_in_from_there_gets_in_beside_a_guesser_of_the_same_name_and_address() -> None:
    limits = LoginLimits()
    limits.admit("admin", HERE, 0.0).succeeded()
    guesser = RequestOrigin(HERE.address, 2000)
    fail(limits, "admin", guesser, PAIR_BURST)
    assert not is_let_in(limits, "admin", guesser)
    fresh = limits.admit("admin", RequestOrigin(HERE.address, 3000), 0.0)
    assert fresh.lane is Lane.FAMILIAR
    unknown = RequestOrigin(HERE.address, 0)  # behind a proxy that does not forward the port: not known to be new
    assert not is_let_in(limits, "admin", unknown)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("testclient", "testclient", True),
        (None, None, True),
    ],
)
def test_an_attacker_has_a_whole_network_of_ipv6(one: str | None, other: str | None, is_same: bool) -> None:
    assert (RequestOrigin(one, 1).site == RequestOrigin(other, 1).site) is is_same


def test_memory_is_bounded() -> None:
    recent: Recent[int, int] = Recent(3)
    for number in range(10):
        recent.put(number, number)
    recent.put(7, 70)  # used again: forgotten last
    recent.put(10, 10)
    assert (len(recent), 7 in recent, 8 in recent, recent.get(7), recent.get(0)) == (3, True, False, 70, None)


class Turns:
    """A queue whose turns last until the test ends them."""

    def __init__(self, slots: int, most: int) -> None:
        self.queue = LoginQueue(slots, most)
        self.order: list[str] = []
        self.refused: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._may_end = asyncio.Semaphore(0)

    async def enter(self, label: str, name: str, site: str = "a", lane: Lane = Lane.USUAL) -> None:
        self.tasks[label] = asyncio.create_task(self._take(label, name, site, lane))
        for _ in range(3):  # lets a refused one learn of it
            await asyncio.sleep(0)

    async def _take(self, label: str, name: str, site: str, lane: Lane) -> None:
        try:
            async with self.queue.turn(lane, name, site):
                self.order.append(label)
                await self._may_end.acquire()
        except LoginsLimited:
            self.refused.append(label)

    async def finish(self) -> None:
        for _ in self.tasks:
            self._may_end.release()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def test_many_attempts_on_one_name_hold_up_neither_another_name_nor_the_same_from_elsewhere() -> None:
    turns = Turns(slots=1, most=64)
    for number in range(50):
        await turns.enter(f"guess-{number}", "admin", "attacker")
    await turns.enter("jo", "jo", "attacker")  # behind the same NAT
    await turns.enter("admin", "admin", "home")
    await turns.finish()
    assert turns.order.index("jo") <= 2
    assert turns.order.index("admin") <= 3
    assert turns.refused == []


async def test_where_too_many_wait_the_last_in_order_is_refused_not_the_last_to_come() -> None:
    turns = Turns(slots=1, most=5)
    for number in range(200):
        await turns.enter(f"guess-{number}", "admin", "attacker", Lane.SUSPECT)
    await turns.enter("jo", "jo", "home", Lane.FAMILIAR)
    assert len(turns.refused) == 195
    await turns.finish()
    assert turns.order[:2] == ["guess-0", "jo"]
    assert "jo" not in turns.refused


async def test_at_most_as_many_at_once_as_there_are_slots_and_who_leaves_takes_no_turn() -> None:
    turns = Turns(slots=2, most=5)
    for name in "abcd":
        await turns.enter(name, name)
    assert turns.order == ["a", "b"]
    turns.tasks["c"].cancel()
    turns.tasks["a"].cancel()
    await asyncio.gather(turns.tasks["a"], turns.tasks["c"], return_exceptions=True)
    await asyncio.sleep(0)
    assert turns.order == ["a", "b", "d"]
    await turns.finish()
    await turns.enter("e", "e")
    assert turns.order[-1] == "e"
    await turns.finish()
