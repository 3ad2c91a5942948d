"""A supervised process is started again when it ends by itself, and only then."""

import errno
import queue
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from pulp_deploy import supervision
from pulp_deploy.errors import ProcessFailed
from pulp_deploy.local.processes import Command, tail
from pulp_deploy.supervision import Supervised

WAIT_S = 20


class Watched(Supervised):
    """Its changes, one after another."""

    def __init__(self, script: str, folder: Path, spawner: ThreadPoolExecutor) -> None:
        self.pids: queue.Queue[int | None] = queue.Queue()
        command = Command(name="sample", arguments=[sys.executable, "-c", script], log=folder / "sample.log")
        super().__init__(command, spawner, self._note)

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
    for script in (TERMINATED, SLEEPS):  # it exits with 0, or by the signal itself
        supervised = Watched(script, tmp_path, spawner)
        supervised.start()
        supervised.keep_running()
        seen = [supervised.next_pid()]
        for _ in range(3):
            psutil.Process(seen[-1]).terminate()
            seen.append(supervised.next_pid())
        assert len(set(seen)) == 4
        assert supervised.restarts == 0
        supervised.stop(WAIT_S)


def test_a_process_that_ends_at_once_is_started_with_pauses_though_it_ends_in_order(
    tmp_path: Path, spawner: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "BRIEF_S", 3600.0)
    monkeypatch.setattr(supervision, "BACKOFF_S", (0.0,))
    supervised = Watched("pass", tmp_path, spawner)
    supervised.start()
    supervised.keep_running()
    supervised.next_pid()
    supervised.next_pid()
    assert supervised.restarts > 0
    supervised.stop(WAIT_S)


def test_the_longest_pause_is_short() -> None:
    assert max(supervision.BACKOFF_S) <= 5


def test_a_full_disk_keeps_nothing_from_being_started_again(tmp_path: Path, spawner: ThreadPoolExecutor) -> None:
    class FullDisk(Watched):
        def _note(self) -> None:
            super()._note()
            raise OSError(errno.ENOSPC, "No space left on device")

    supervised = FullDisk(SLEEPS, tmp_path, spawner)
    supervised.start()
    supervised.keep_running()
    first = supervised.next_pid()
    psutil.Process(first).kill()
    assert supervised.next_pid() != first
    supervised.stop(WAIT_S)


def test_the_tail_of_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert tail(tmp_path / "nothing.log") == "(no output)"
