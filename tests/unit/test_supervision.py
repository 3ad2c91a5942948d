"""A supervised process is started again when it ends by itself, and only then."""

import queue
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
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


def test_the_tail_of_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert tail(tmp_path / "nothing.log") == "(no output)"
