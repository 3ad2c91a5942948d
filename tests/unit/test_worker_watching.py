"""The threads that watch the loop, the lines of output, and what belongs to an async operation."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pulp_worker import watchdog_script
from pulp_worker.belongings import OWNER, Belongings, own_tasks
from pulp_worker.descendants import children_of
from pulp_worker.guard import TICK_S, LoopWatch
from pulp_worker.output import BURST_BYTES, BYTES_A_SECOND, LINE_COST, LINE_LIMIT, OutputLines
from pulp_worker.printing import Attributed
from pulp_worker.watchdog import Watchdog

TASK = UUID(int=7)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_lines_are_put_together_cut_and_made_visible() -> None:
    lines = OutputLines(Clock())
    assert lines.feed(b"on") == []
    assert lines.feed("e\r\nzw\N{LATIN SMALL LETTER O WITH DIAERESIS}".encode()[:-1]) == ["one"]
    assert lines.feed("\N{LATIN SMALL LETTER O WITH DIAERESIS}lf\n".encode()[1:]) == [
        "zw\N{LATIN SMALL LETTER O WITH DIAERESIS}lf"
    ]
    assert lines.feed(b"\x1b]0;title\x07\t\xff\n") == ["\\x1b]0;title\\x07\t\\xff"]
    assert lines.feed(b"x" * (LINE_LIMIT + 5) + b"\n") == ["x" * LINE_LIMIT + " (5 more characters)"]
    lines.feed(b"no end")
    assert lines.end() == ["no end"]


def test_too_many_lines_are_dropped_and_counted_once() -> None:
    clock = Clock()
    lines = OutputLines(clock)
    line = b"x" * (1024 - LINE_COST) + b"\n"
    kept = lines.feed(line * (BURST_BYTES // 1024 + 10))
    assert len(kept) == BURST_BYTES // 1024 + 1
    assert "lines are dropped" in kept[-1]
    assert lines.feed(line) == []
    clock.now_s += BURST_BYTES / 8 / BYTES_A_SECOND
    again = lines.feed(line)
    assert again == ["(11 lines were dropped)", line.decode().strip()]
    assert lines.end() == []


async def test_a_blocked_loop_is_told_with_the_task_and_the_place(caplog: pytest.LogCaptureFixture) -> None:
    told = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "is blocked" in record.getMessage():
                told.set()

    def blocks_here() -> None:
        assert told.wait(60)

    async def operation() -> None:
        Belongings(TASK, "blocking").enter()
        blocks_here()

    handler = Heard()
    logging.getLogger("pulp.worker").addHandler(handler)
    watch = LoopWatch()
    watch.start()
    try:
        watch.begin()
        await asyncio.create_task(operation())
    finally:
        watch.stop()
        logging.getLogger("pulp.worker").removeHandler(handler)
    [record] = [record for record in caplog.records if "is blocked" in record.getMessage()]
    assert (vars(record)["task_id"], vars(record)["operation"]) == (TASK, "blocking")
    assert vars(record)["blocked_s"] >= 1 - TICK_S
    assert "blocks_here" in (record.stack_info or "")


class Awake(threading.Event):
    """It also notes when it is cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.cleared = threading.Semaphore(0)

    def clear(self) -> None:
        super().clear()
        self.cleared.release()


async def test_without_an_operation_nothing_watches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, awake = LoopWatch(), Awake()
    monkeypatch.setattr(watch, "_awake", awake)
    watch.start()
    try:
        for _ in range(2):  # it wakes and sleeps again
            watch.begin()
            assert awake.is_set()
            watch.end()
            assert await asyncio.to_thread(awake.cleared.acquire, timeout=30)
            assert not awake.is_set()
    finally:
        watch.stop()


async def test_tasks_that_an_operation_leaves_are_cancelled_and_others_are_not() -> None:
    own_tasks(asyncio.get_running_loop())
    cancelled = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def operation() -> Belongings:
        mine = Belongings(TASK, "leaving")
        mine.enter()
        asyncio.get_running_loop().call_soon(lambda: kept.append(asyncio.create_task(forever())))
        await asyncio.sleep(0)
        return mine

    kept: list[asyncio.Task[None]] = []
    stranger = asyncio.create_task(asyncio.Event().wait())
    mine = await asyncio.create_task(operation())
    await asyncio.sleep(0)
    await mine.end(60, lambda: pytest.fail("it is not stuck"))
    assert cancelled.is_set()
    assert kept[0].cancelled()
    assert not stranger.done()
    stranger.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stranger


async def test_a_call_in_a_thread_is_waited_for_and_being_stuck_is_told() -> None:
    go, stuck = threading.Event(), asyncio.Event()
    mine = Belongings(TASK, "leaving")
    mine.submit(go.wait)
    ending = asyncio.create_task(mine.end(0, stuck.set))
    await stuck.wait()
    assert not ending.done()
    go.set()
    await ending


def test_what_an_operation_prints_goes_to_the_log_with_its_task(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    stream = Attributed(sys.stdout)
    print("the worker's", file=stream)
    token = OWNER.set(Belongings(TASK, "printing"))
    print("the", "operation's", file=stream)
    OWNER.reset(token)
    [record] = [record for record in caplog.records if record.name == "pulp.operation"]
    assert (record.getMessage(), vars(record)["task_id"]) == ("the operation's", TASK)
    assert capsys.readouterr().out == "the worker's\n"


@pytest.mark.parametrize(("name", "is_told"), [("mine", True), ("waitpid-3", False), ("asyncio-waitpid-3", False)])
async def test_threads_that_go_on_are_told_but_for_those_of_asyncio(
    name: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ending = threading.Event()
    thread = threading.Thread(target=ending.wait, name=name)
    thread.start()
    mine = Belongings(TASK, "leaving")
    mine.add_thread(thread)
    with caplog.at_level(logging.WARNING, "pulp.worker"):
        await mine.end(60, lambda: pytest.fail("it is not stuck"))
    ending.set()
    thread.join()
    assert ("left threads behind" in caplog.text) == is_told


def test_the_watchdog_is_small() -> None:
    with tempfile.TemporaryFile() as file:
        os.pwrite(file.fileno(), watchdog_script.DEADLINE.pack(time.monotonic() + 600), 0)
        command = [sys.executable, "-X", "importtime", "-I", "-S", watchdog_script.__file__, str(file.fileno())]
        ran = subprocess.run(
            [*command, "6", "9", "what it says"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            pass_fds=[file.fileno()],
        )
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert {"os", "select", "struct"} <= imported
    assert not imported & {"signal", "enum", "subprocess", "contextlib", "functools", "re", "site", "typing"}


def test_the_watchdog_says_in_the_format_of_the_log_whom_it_ends() -> None:
    """The process that runs it stands in for the worker."""
    script = """
import os, signal, sys, time
from pulp_deploy.log_lines import set_up_logging
from pulp_worker.watchdog import Watchdog
set_up_logging({"PULP_LOG_FORMAT": "json"})
watchdog = Watchdog()
watchdog.pulse(0)
watchdog.start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
while True:
    signal.pause()
"""
    began = datetime.now(UTC)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == -signal.SIGKILL
    [line] = ran.stderr.splitlines()
    found = json.loads(line)
    assert (found["level"], found["logger"]) == ("CRITICAL", "pulp.worker")
    assert "its lease is over" in found["msg"]
    assert began - timedelta(milliseconds=1) <= datetime.fromisoformat(found["time"]) <= datetime.now(UTC)


def test_an_idle_worker_has_no_watchdog_and_its_first_operation_starts_it() -> None:
    others = set(children_of(os.getpid()))
    watchdog = Watchdog()
    watch = LoopWatch(on_begin=watchdog.start)
    try:
        watchdog.pulse(time.monotonic() + 600)
        assert set(children_of(os.getpid())) <= others
        for _ in range(2):
            watch.begin()
        [started] = set(children_of(os.getpid())) - others
    finally:
        watchdog.close()
    assert started not in children_of(os.getpid())


class Machine:
    """The clock and the system calls of a watchdog's script; no time passes."""

    def __init__(self, *, lease_s: float = 6, period_s: float = 2, dies_at_s: float = 1e9, hours: float = 1) -> None:
        self.now_s = 1000.0
        self.wakes = 0
        self.ended_at_s: float | None = None
        self.stopped_until_s = 0.0
        self._lease_s, self._period_s, self._dies_at_s = lease_s, period_s, 1000 + dies_at_s
        self._until_s = 1000 + 3600 * hours

    def monotonic(self) -> float:
        return self.now_s

    def pread(self, *_: int) -> bytes:
        renewed_s = min(self.now_s, self._dies_at_s) // self._period_s * self._period_s
        return watchdog_script.DEADLINE.pack(renewed_s + self._lease_s)

    def select(self, *arguments: Any) -> tuple[list[int], list[int], list[int]]:
        self.wakes += 1
        self.now_s += arguments[3]
        return ([0] if self.now_s >= self._until_s else []), [], []

    def end(self, *_: object) -> None:
        self.ended_at_s = self.now_s

    def is_stopped(self, _: int) -> bool:
        return self.now_s < self.stopped_until_s

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run the script until the worker has ended."""
        for module in ("time", "os", "select"):
            monkeypatch.setattr(watchdog_script, module, self)
        monkeypatch.setattr(watchdog_script, "_end", self.end)
        monkeypatch.setattr(watchdog_script, "_is_stopped", self.is_stopped)
        watchdog_script.main(1, 3, 6, 9, "what it says")


def test_the_watchdog_of_a_worker_that_is_well_wakes_once_in_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    machine.watch(monkeypatch)
    assert machine.ended_at_s is None
    assert machine.wakes <= 3600 / (6 - 2) + 1


def test_the_watchdog_ends_a_worker_that_writes_nothing_after_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(dies_at_s=101)
    machine.watch(monkeypatch)
    assert machine.ended_at_s == 1000 + 100 + 6 + watchdog_script.SLACK_S


def test_the_watchdog_waits_for_a_worker_that_is_stopped_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(dies_at_s=101)
    machine.stopped_until_s = 1000 + 500
    machine.watch(monkeypatch)
    assert machine.ended_at_s is not None
    assert 500 <= machine.ended_at_s - 1000 <= 500 + watchdog_script.SLACK_S
