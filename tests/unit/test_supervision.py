"""A supervised process is started again when it ends by itself, and only then."""

import errno
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from pulp_deploy import supervision
from pulp_deploy.errors import ProcessFailed
from pulp_deploy.local import processes
from pulp_deploy.local.processes import Command, tail
from pulp_deploy.log_pipes import LogPipes
from pulp_deploy.supervision import Supervised

WAIT_S = 20


class Watched(Supervised):
    """A process whose changes are queued, one after another."""

    def __init__(self, script: str, folder: Path, spawner: ThreadPoolExecutor) -> None:
        self.logs = LogPipes()
        self.pids: queue.Queue[int | None] = queue.Queue()
        command = Command(name="sample", arguments=[sys.executable, "-c", script], log=folder / "sample.log")
        super().__init__(command, spawner, self.logs, self._note)

    def stop(self, timeout_s: float) -> None:
        super().stop(timeout_s)
        self.logs.close()

    def _note(self) -> None:
        self.pids.put(None if self.identity is None else self.identity.pid)

    def next_pid(self) -> int:
        """The next process that runs."""
        while (pid := self.pids.get(timeout=WAIT_S)) is None:
            pass
        return pid


SLEEPS = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def spawner() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_one_that_was_killed_by_somebody_is_started_again(tmp_path: Path, spawner: ThreadPoolExecutor) -> None:
    supervised = Watched(SLEEPS, tmp_path, spawner)
    supervised.start()
    supervised.keep_running()
    first = supervised.next_pid()
    psutil.Process(first).kill()
    assert supervised.next_pid() != first
    assert supervised.restarts == 1
    supervised.stop(WAIT_S)
    assert supervised.identity is None


def test_one_that_we_killed_stays_down_until_it_is_started(tmp_path: Path, spawner: ThreadPoolExecutor) -> None:
    supervised = Watched(SLEEPS, tmp_path, spawner)
    supervised.start()
    supervised.keep_running()
    first = supervised.next_pid()
    supervised.kill()
    assert supervised.identity is None
    supervised.start()
    assert supervised.next_pid() != first
    assert supervised.restarts == 0
    supervised.stop(WAIT_S)


def test_one_that_fails_at_its_start_is_reported_with_its_last_words(
    tmp_path: Path, spawner: ThreadPoolExecutor
) -> None:
    supervised = Watched("import sys; sys.exit('no such luck')", tmp_path, spawner)
    supervised.start()
    while supervised.pids.get(timeout=WAIT_S) is not None:
        pass
    with pytest.raises(ProcessFailed, match="no such luck") as caught:
        supervised.check()
    assert caught.value.exit_code == 1
    supervised.stop(WAIT_S)


def test_one_that_does_not_heed_its_signal_is_killed(tmp_path: Path, spawner: ThreadPoolExecutor) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPS
    supervised = Watched(deaf, tmp_path, spawner)
    supervised.start()
    supervised.next_pid()
    supervised.stop(0.1)
    assert supervised.identity is None


TERMINATED = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + SLEEPS


def test_an_orderly_end_is_no_crash_and_costs_no_pause(
    tmp_path: Path, spawner: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "BRIEF_S", 0.0)
    monkeypatch.setattr(supervision, "BACKOFF_S", (3600.0,))  # with a pause the next process would never come
    for script in (TERMINATED, SLEEPS):  # it exits with 0, or is ended by the signal itself
        supervised = Watched(script, tmp_path, spawner)
        supervised.start()
        supervised.keep_running()
        seen = [supervised.next_pid()]
        for _ in range(5):
            psutil.Process(seen[-1]).terminate()
            seen.append(supervised.next_pid())
        assert len(set(seen)) == 6
        assert supervised.restarts == 0
        supervised.stop(WAIT_S)


def test_one_that_is_ended_in_order_right_after_its_start_is_back_without_a_pause(
    tmp_path: Path, spawner: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "BRIEF_S", 3600.0)
    monkeypatch.setattr(supervision, "BACKOFF_S", (3600.0,))
    supervised = Watched(SLEEPS, tmp_path, spawner)
    supervised.start()
    supervised.keep_running()
    first = supervised.next_pid()
    psutil.Process(first).terminate()
    assert supervised.next_pid() != first
    supervised.stop(WAIT_S)


def pauses(supervised: Supervised, ends: list[tuple[int, float]]) -> list[float]:
    """How long it waits after each of the ends, given as exit code and lifetime in seconds."""
    return [supervised._pause_s(code, lived_s) for code, lived_s in ends]


LONG_S = supervision.STEADY_S / 2
CRASH, TERM, JAVA = 1, -15, 143
GROWS = [0.5, 1.0, 2.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([(0, 8.0)] * 5, [0.0] * 5),  # restarts, one after another
        ([(TERM, 8.0), (JAVA, 8.0)] * 3, [0.0] * 6),
        ([(CRASH, 0.1)] * 5, GROWS),  # it cannot start at all
        ([(CRASH, LONG_S)] * 5, GROWS),  # it flaps
        ([(0, 0.0)] * 6, [0.0, *GROWS]),  # it ends immediately, in good order, again and again
        ([(CRASH, LONG_S), (0, LONG_S)] * 2, [0.5, 0.0, 1.0, 0.0]),  # an orderly end has nothing to do with crashes
        ([(CRASH, 0.1)] * 3 + [(CRASH, supervision.STEADY_S)], [0.5, 1.0, 2.0, 0.5]),  # it ran well for long enough
    ],
)
def test_only_crashes_and_what_ends_at_once_again_and_again_are_waited_after(
    tmp_path: Path, spawner: ThreadPoolExecutor, ends: list[tuple[int, float]], expected: list[float]
) -> None:
    assert pauses(Watched("pass", tmp_path, spawner), ends) == expected


def test_a_process_that_ends_at_once_for_ever_is_started_with_pauses(
    tmp_path: Path, spawner: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "BACKOFF_S", (0.0,))
    supervised = Watched("pass", tmp_path, spawner)
    supervised.start()
    supervised.keep_running()
    for _ in range(4):
        supervised.next_pid()
    assert supervised.restarts > 0
    supervised.stop(WAIT_S)


def test_the_longest_pause_is_short() -> None:
    assert max(supervision.BACKOFF_S) <= 5


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("no thread")])
def test_what_cannot_be_recorded_keeps_nothing_from_being_started_again(
    tmp_path: Path, spawner: ThreadPoolExecutor, fault: Exception
) -> None:
    class Unrecorded(Watched):
        def _note(self) -> None:
            super()._note()
            raise fault

    supervised = Unrecorded(SLEEPS, tmp_path, spawner)
    supervised.start()
    supervised.keep_running()
    first = supervised.next_pid()
    psutil.Process(first).kill()
    assert supervised.next_pid() != first
    supervised.stop(WAIT_S)


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EROFS])
def test_a_start_that_fails_is_tried_until_it_succeeds(
    tmp_path: Path, spawner: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    failures = [OSError(number, os.strerror(number))] * 3

    def spawn(command: Command, output: int) -> "subprocess.Popen[bytes]":
        if is_down.is_set() and failures:
            raise failures.pop()
        return processes.spawn(command, output)

    is_down = threading.Event()
    monkeypatch.setattr(supervision, "BACKOFF_S", (0.0,))
    monkeypatch.setattr(supervision, "spawn", spawn)
    supervised = Watched(SLEEPS, tmp_path, spawner)
    supervised.start()
    supervised.keep_running()
    first = supervised.next_pid()
    is_down.set()
    psutil.Process(first).kill()
    assert supervised.next_pid() != first
    assert failures == []
    supervised.stop(WAIT_S)


def test_the_tail_of_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert tail(tmp_path / "nothing.log") == "(no output)"


def test_the_tail_of_a_log_tells_the_cause_and_not_the_frames_of_its_stack_trace(tmp_path: Path) -> None:
    log = tmp_path / "kafka-1.log"
    frames = "".join(f"\tat kafka.raft.KafkaRaftLog{line}.createLog(KafkaRaftLog.java:{line})\n" for line in range(30))
    log.write_text(
        "ERROR Exiting Kafka\njava.lang.RuntimeException: cannot start\n"
        f"{frames}Caused by: java.io.IOException: No space left on device\n{frames}\t... 7 more\n"
    )
    assert tail(log).splitlines() == [
        "ERROR Exiting Kafka",
        "java.lang.RuntimeException: cannot start",
        "Caused by: java.io.IOException: No space left on device",
    ]


def test_the_tail_of_a_log_of_ours_tells_the_message_and_not_its_traceback(tmp_path: Path) -> None:
    log = tmp_path / "processor.log"
    trace = json.dumps("Traceback (most recent call last):\n" + "  a frame\n" * 30 + "KeyError: 'x'")
    log.write_text(f'level=CRITICAL msg="unexpected error" error="KeyError: \'x\'" traceback={trace}\n')
    assert tail(log) == 'level=CRITICAL msg="unexpected error" error="KeyError: \'x\'"'
