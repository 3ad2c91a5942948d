"""Lease, guard, reporter, outcomes and settings of the worker; the clocks are doubles."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from pulp_events.codec import MAX_EVENT_BYTES, encode
from pulp_events.events import Outcome
from pulp_events.settings import SettingsError
from pulp_worker.errors import TaskCancelled
from pulp_worker.guard import Guard
from pulp_worker.lease import Lease
from pulp_worker.outcome import failed, finished, raised, succeeded
from pulp_worker.reporter import INTERVAL_S, Reporter
from pulp_worker.settings import Settings

from tests.support.events import ATTEMPT, event


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_lease_counts_from_before_its_heartbeat_was_sent() -> None:
    clock = Clock()
    lease = Lease(6, clock)
    assert not lease.is_live
    sent_at_s = lease.now()
    clock.now_s += 2
    lease.renew(sent_at_s)
    assert lease.left_s == 4
    lease.renew(sent_at_s - 1)  # an answer that comes late shortens nothing
    assert lease.left_s == 4
    clock.now_s += 4
    assert not lease.is_live


def guard_of(clock: Clock, *, is_operating: bool) -> tuple[Guard, Lease, list[int], threading.Event]:
    ended: list[int] = []
    has_ended = threading.Event()
    lease = Lease(0.05, clock)

    def end(code: int) -> None:
        ended.append(code)
        has_ended.set()

    return Guard(lease, lambda: is_operating, slack_s=0.02, end=end), lease, ended, has_ended


def test_the_guard_ends_the_process_if_operations_outlive_the_lease() -> None:
    clock = Clock()
    guard, lease, ended, has_ended = guard_of(clock, is_operating=True)
    lease.renew(clock.now_s)
    guard.start()
    clock.now_s += 1
    assert has_ended.wait(30)
    assert ended == [70]


def test_the_guard_lets_a_worker_be_whose_operations_have_stopped() -> None:
    clock = Clock()
    looked = threading.Event()
    ended: list[int] = []

    def is_operating() -> bool:
        looked.set()
        return False

    guard = Guard(Lease(0.05, clock), is_operating, slack_s=0.02, end=ended.append)
    guard.start()
    assert looked.wait(30)
    guard.stop()
    assert ended == []


class Minute(threading.Event):
    """Nobody waits: the clock is set, and the lease renewed as by heartbeats. It is set after a minute."""

    def __init__(self, clock: Clock, lease: Lease, period_s: float) -> None:
        super().__init__()
        self.wakes = 0
        self._ends_at_s = clock.now_s + 60
        self._clock, self._lease, self._period_s = clock, lease, period_s

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.wakes += 1
        self._clock.now_s += timeout
        if self._period_s:
            self._lease.renew(self._clock.now_s // self._period_s * self._period_s)
        return self._clock.now_s >= self._ends_at_s


@pytest.mark.parametrize(
    ("period_s", "most", "pulses"),
    # With a heartbeat every 2 s, at least 4 s of the lease are left. Without any, the guard waits a quarter of the
    # slack.
    [(2.0, 60 / 4, range(1, 16)), (0.0, 1 + 54 / 0.25 + 1, range(54 * 4 - 2, 54 * 4 + 3))],
)
def test_the_guard_sleeps_until_the_lease_runs_out(
    period_s: float, most: float, pulses: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    told: list[float] = []
    lease = Lease(6, clock)
    lease.renew(clock.now_s)
    guard = Guard(lease, lambda: False, slack_s=1, pulse=told.append)
    minute = Minute(clock, lease, period_s)
    monkeypatch.setattr(guard, "_stopping", minute)
    guard._run()  # in this thread
    assert minute.wakes <= most
    assert len(told) in pulses


def test_each_renewal_is_told_with_the_end_of_the_lease() -> None:
    clock = Clock()
    told: list[float] = []
    lease = Lease(6, clock, on_renewed=told.append)
    lease.renew(clock.now_s + 1)
    lease.renew(clock.now_s)  # an answer that comes late
    assert told == [clock.now_s + 7, clock.now_s + 7]


class Sleep:
    """A sleep that ends when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._go = asyncio.Semaphore(0)
        self._asked = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._asked.set()
        await self._go.acquire()

    async def passes(self) -> None:
        """Wait until somebody sleeps, then wake them."""
        await self._asked.wait()
        self._asked.clear()
        self._go.release()


def sending(sent: list[tuple[int, bytes]], answers: list[bool]) -> Callable[[int, bytes], Awaitable[bool]]:
    async def send(sequence: int, progress: bytes) -> bool:
        sent.append((sequence, progress))
        return answers.pop(0) if answers else True

    return send


async def test_the_newest_progress_wins_and_the_last_is_always_sent() -> None:
    sent: list[tuple[int, bytes]] = []
    sleep = Sleep()
    reporter = Reporter(sending(sent, []), sleep=sleep)
    reporter.report(b"1")
    await sleep._asked.wait()
    for text in (b"2", b"3", b"4"):
        reporter.report(text)
    await sleep.passes()
    await sleep._asked.wait()
    assert sent == [(1, b"1"), (2, b"4")]
    reporter.report(b"5")
    reporter.report(b"6")
    await reporter.finish()
    assert sent == [(1, b"1"), (2, b"4"), (3, b"6")]
    assert set(sleep.asked) == {INTERVAL_S}
    reporter.report(b"7")
    await asyncio.sleep(0)
    assert len(sent) == 3


async def test_progress_that_could_not_be_sent_is_sent_later() -> None:
    sent: list[tuple[int, bytes]] = []
    sleep = Sleep()
    reporter = Reporter(sending(sent, [False, False]), sleep=sleep)
    reporter.report(b"1")
    await sleep.passes()
    await sleep._asked.wait()
    finishing = asyncio.create_task(reporter.finish())
    await finishing
    assert sent == [(1, b"1"), (2, b"1"), (3, b"1")]


def test_how_a_run_ended() -> None:
    assert succeeded(None).outcome is Outcome.SUCCESSFUL
    assert bytes(succeeded({"a": [1]}).result) == b'{"a":[1]}'
    assert raised(TaskCancelled()).outcome is Outcome.CANCELLED
    for result, code in (({1, object()}, "result-not-json"), ("x" * 262_143, "result-too-large")):
        ended = succeeded(result)
        assert ended.error is not None
        assert (ended.outcome, ended.error.code) == (Outcome.FAILED, code)


@pytest.mark.parametrize("character", ["x", "\0", "\1", "\N{GRINNING FACE}", "\udc80"])
def test_whatever_an_error_says_its_event_can_be_written(character: str) -> None:
    ended = failed(character * 999, character * 999_999, character * 999_999)
    assert len(encode(event(finished(ATTEMPT, ended)))) < MAX_EVENT_BYTES


ENV = {"PULP_KAFKA": "k:1", "PULP_POSTGRES": "dbname=x", "PULP_STORAGE": "/srv/pulp"}


def test_settings_have_defaults() -> None:
    read = Settings.read(ENV)
    assert (read.queues, read.concurrency, read.storage) == (("default",), 4, Path("/srv/pulp"))
    assert (read.lease_s, read.grace_s, read.drain_s) == (6, 10, 30)
    assert Settings.read({**ENV, "PULP_WORKER_QUEUES": "a, b"}).queues == ("a", "b")
    assert Settings.read({**ENV, "PULP_WORKER_ENVIRONMENT": "A_TOKEN, OMP_NUM_THREADS"}).environment == (
        "A_TOKEN",
        "OMP_NUM_THREADS",
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PULP_WORKER_CONCURRENCY", "0"),
        ("PULP_WORKER_LEASE_S", "0.1"),
        ("PULP_WORKER_NAME", "x" * 201),
        ("PULP_WORKER_NAME", "a\nb"),
        ("PULP_WORKER_GRACE_S", "soon"),
        ("PULP_WORKER_FORGET_S", "59"),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=key):
        Settings.read({**ENV, key: value})
