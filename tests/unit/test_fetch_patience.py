"""When each server gets a request: rest, rounds of failures, and the order of mirrors."""

import itertools
import random
from collections.abc import Mapping

import pytest
from pulp_worker import LimitExceeded, OperationError
from pulp_worker.fetching import FetchFailed, ServerDown, patience
from pulp_worker.fetching.patience import Patience
from pulp_worker.fetching.standing import Standing

from tests.support.feeds import SimulatedClock

A, B, C = "http://a.example/x", "http://b.example/x", "http://c.example/x"
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class Servers:
    """Each fails as the test says, by the letter of its host."""

    def __init__(self, clock: SimulatedClock, **faults: OperationError | None) -> None:
        self.clock, self.faults = clock, faults
        self.asked: list[str] = []

    async def __call__(self, url: str) -> str:
        letter = url[7]
        self.asked.append(letter)
        fault = self.faults.get(letter)
        if fault is not None:
            raise fault
        return letter


def busy(pause_s: float | None = None) -> FetchFailed:
    return FetchFailed("busy", is_transient=True, status=503, pause_s=pause_s)


def gone() -> FetchFailed:
    return FetchFailed("gone", status=404)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def tried(clock: SimulatedClock) -> Patience:
    return Patience(3600, clock=clock)


async def test_pauses_grow_and_have_chance_in_them(clock: SimulatedClock, tried: Patience) -> None:
    servers = Servers(clock, a=busy())
    with pytest.raises(FetchFailed, match="busy"):
        await tried.first_of([A], servers)
    assert len(servers.asked) == 7
    assert len(clock.slept) == 6
    for slept, pause_s in zip(clock.slept, PAUSES_S, strict=True):
        assert pause_s / 2 <= slept <= pause_s
    assert len({round(slept / pause_s, 6) for slept, pause_s in zip(clock.slept, PAUSES_S, strict=True)}) > 1


async def test_what_a_server_asks_for_is_the_least(clock: SimulatedClock, tried: Patience) -> None:
    with pytest.raises(FetchFailed):
        await tried.first_of([A], Servers(clock, a=busy(30.0)))
    assert clock.slept == [30.0] * 6


async def test_all_tries_of_a_file_have_one_bound(clock: SimulatedClock) -> None:
    servers = Servers(clock, a=busy(100.0))
    with pytest.raises(FetchFailed, match="busy"):
        await Patience(250, clock=clock).first_of([A], servers)
    assert len(servers.asked) == 3


async def test_a_server_that_failed_rests_for_other_files_too(clock: SimulatedClock, tried: Patience) -> None:
    servers = Servers(clock, a=busy(60.0))
    assert await tried.first_of([A, B], servers) == "b"
    assert await tried.first_of([A, B], servers) == "b"
    assert servers.asked == ["a", "b", "b"]
    assert clock.slept == []
    servers.faults.clear()
    assert await tried.first_of([A], servers) == "a"
    assert clock.slept == [60.0]


async def test_each_mirror_is_asked_before_one_is_asked_again(clock: SimulatedClock, tried: Patience) -> None:
    servers = Servers(clock, a=busy(), b=busy(), c=busy())
    with pytest.raises(FetchFailed, match="busy"):
        await tried.first_of([A, B, C], servers)
    assert servers.asked[:3] == ["a", "b", "c"]
    assert len(servers.asked) == 9


async def test_a_file_that_a_mirror_lacks_is_asked_for_once_there(clock: SimulatedClock, tried: Patience) -> None:
    servers = Servers(clock, a=gone(), b=busy())
    with pytest.raises(FetchFailed, match="gone"):
        await tried.first_of([A, B], servers)
    assert servers.asked.count("a") == 1


async def test_what_a_server_says_in_the_end_counts(clock: SimulatedClock, tried: Patience) -> None:
    faults = iter([busy(), gone()])

    async def attempt(url: str) -> str:
        raise next(faults)

    with pytest.raises(FetchFailed, match="gone") as raised:
        await tried.first_of([A], attempt)
    assert raised.value.status == 404


async def test_a_mirror_that_often_lacks_files_is_asked_last(clock: SimulatedClock, tried: Patience) -> None:
    servers = Servers(clock, a=gone())
    for _ in range(5):
        assert await tried.first_of([A, B], servers) == "b"
    assert "".join(servers.asked) == "ab" * 3 + "bb"


async def test_a_server_that_is_given_up_is_not_asked(clock: SimulatedClock, tried: Patience) -> None:
    servers = Servers(clock, a=busy())
    with pytest.raises(FetchFailed, match="busy"):
        await tried.first_of([A], servers)
    asked = len(servers.asked)
    with pytest.raises(ServerDown, match=r"http://a\.example does not answer any more"):
        await tried.first_of(["http://a.example/other?token=word"], servers)
    assert len(servers.asked) == asked
    assert await tried.first_of([A, B], servers) == "b"


async def test_progress_does_not_count_as_a_failure(clock: SimulatedClock, tried: Patience) -> None:
    size = itertools.count(0, patience.SMALL_STEP_BYTES)
    left = iter(range(200))

    async def attempt(_: str) -> str:
        if next(left, None) is None:
            return "done"
        raise busy()

    assert await tried.first_of([A], attempt, progress=lambda: next(size)) == "done"
    assert len(clock.slept) == 200
    assert max(clock.slept) <= 0.5


async def test_a_drip_is_no_progress(clock: SimulatedClock) -> None:
    size = 0

    async def attempt(_: str) -> None:
        nonlocal size
        size += 30
        clock.slept.append(30.0)
        raise FetchFailed("slow", is_transient=True)

    with pytest.raises(FetchFailed, match="slow"):
        await Patience(3600, 1000, clock).first_of([A], attempt, progress=lambda: size)
    assert size == 3 * 30


async def test_a_server_that_hangs_is_not_waited_for_seven_times(clock: SimulatedClock, tried: Patience) -> None:
    asked: list[str] = []

    async def attempt(url: str) -> str:
        asked.append(url)
        if url == A:
            clock.slept.append(25.0)
            raise FetchFailed("silent", is_transient=True)
        return "b"

    with pytest.raises(FetchFailed, match="silent"):
        await tried.first_of([A], attempt)
    with pytest.raises(ServerDown):
        await tried.first_of([A], attempt)
    assert asked == [A] * 3
    assert await tried.first_of([A, B], attempt) == "b"


async def test_other_errors_pass(clock: SimulatedClock, tried: Patience) -> None:
    servers = Servers(clock, a=OperationError("bad-credential", "a file"))
    with pytest.raises(OperationError, match="a file"):
        await tried.first_of([A, B], servers)
    assert servers.asked == ["a"]


async def test_a_file_that_is_too_large_at_one_mirror(clock: SimulatedClock, tried: Patience) -> None:
    servers = Servers(clock, a=LimitExceeded("large"))
    assert await tried.first_of([A, B], servers) == "b"
    servers.faults["b"] = LimitExceeded("larger")
    with pytest.raises(LimitExceeded, match=r"^large$"):
        await tried.first_of([A, B], servers)


def test_failures_at_the_same_time_are_one_round() -> None:
    standing = Standing()
    for now_s in (1.0, 1.1, 1.2):
        standing.failed(began_s=0.0, now_s=now_s, pauses_s=PAUSES_S, asked_pause_s=0.0)
    assert (standing.rounds, standing.ready_s) == (1, 1.7)
    standing.failed(began_s=1.7, now_s=1.8, pauses_s=PAUSES_S, asked_pause_s=0.0)
    assert (standing.rounds, standing.ready_s) == (2, 2.8)
    standing.succeeded()
    assert (standing.rounds, standing.ready_s) == (0, 0.0)


@pytest.mark.parametrize("seed", range(20))
async def test_it_ends_whatever_the_servers_do(clock: SimulatedClock, seed: int) -> None:
    chance = random.Random(seed)
    faults: Mapping[int, FetchFailed | None] = {0: busy(), 1: gone(), 2: busy(5.0), 3: busy(1000.0)}

    async def attempt(_: str) -> str:
        raise faults[chance.randrange(4)] or gone()

    tried = Patience(3600, clock=clock)
    for _ in range(20):
        with pytest.raises(FetchFailed):
            await tried.first_of([A, B, C], attempt)
    assert clock.now_s() < 3600
