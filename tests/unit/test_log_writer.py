"""The output of a stack's processes reaches their logs: complete and bounded, whatever happens meanwhile."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pulp_deploy.local.log_writer import Log
from pulp_deploy.log_files import MOST_BYTES, rotated
from pulp_deploy.log_pipes import LogPipes

NUMBERS = "import sys; [print(number, flush=True) for number in range(int(sys.argv[1]))]"


@pytest.fixture
def pipes() -> Iterator[LogPipes]:
    opened = LogPipes()
    yield opened
    opened.close()


def written(log: Path) -> bytes:
    before = rotated(log).read_bytes() if rotated(log).exists() else b""
    return before + log.read_bytes()


def reader(pipes: LogPipes) -> psutil.Process:
    assert pipes._process is not None
    return psutil.Process(pipes._process.pid)


def test_no_line_is_lost_when_a_log_is_moved(tmp_path: Path) -> None:
    log = Log(tmp_path / "api.log", 1000)
    lines = [b"line %d\n" % number for number in range(300)]
    seen: list[bytes] = []
    for start in range(0, 300, 7):
        before = rotated(tmp_path / "api.log")
        inode = before.stat().st_ino if before.exists() else None
        log.write(b"".join(lines[start : start + 7]))
        if before.exists() and before.stat().st_ino != inode:
            seen += before.read_bytes().splitlines(keepends=True)
    seen += (tmp_path / "api.log").read_bytes().splitlines(keepends=True)
    assert seen == lines
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1100
    assert sorted(os.listdir(tmp_path)) == ["api.log", "api.log.1"]


def test_a_burst_stays_bounded_and_its_end_is_kept(tmp_path: Path, pipes: LogPipes) -> None:
    log = tmp_path / "api.log"
    line = b"x" * 999 + b"\n"
    flood = "import os; [os.write(1, b'x' * 999 + b'\\n') for _ in range(60_000)]; os.write(1, b'the end\\n')"
    subprocess.run([sys.executable, "-c", flood], stdout=pipes.output(log), check=True)
    pipes.settle()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2.1 * MOST_BYTES
    assert written(log).endswith(line + b"the end\n")


def test_what_is_written_while_the_writer_of_logs_is_down_is_not_lost(tmp_path: Path, pipes: LogPipes) -> None:
    log = tmp_path / "api.log"
    output = pipes.output(log)
    subprocess.run([sys.executable, "-c", NUMBERS, "100"], stdout=output, check=True)
    pipes.settle()
    reader(pipes).kill()
    reader(pipes).wait()
    subprocess.run([sys.executable, "-c", NUMBERS, "100"], stdout=output, check=True)
    pipes.look_after()
    pipes.settle()
    assert log.read_text().split() == [str(number) for number in range(100)] * 2


def test_a_log_is_whole_when_it_is_closed(tmp_path: Path) -> None:
    pipes = LogPipes()
    subprocess.run([sys.executable, "-c", NUMBERS, "5000"], stdout=pipes.output(tmp_path / "a.log"), check=True)
    process = reader(pipes)
    pipes.close()
    assert not process.is_running()
    assert len((tmp_path / "a.log").read_text().split()) == 5000


def test_a_terminals_signals_do_not_end_it(tmp_path: Path, pipes: LogPipes) -> None:
    output = pipes.output(tmp_path / "a.log")
    pipes.settle()
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        reader(pipes).send_signal(signum)
    os.write(output, b"on\n")
    pipes.settle()
    assert (tmp_path / "a.log").read_text() == "on\n"


def test_lines_that_have_no_room_are_counted_and_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "api.log")
    log.write(b"before\n")
    write = os.write
    monkeypatch.setattr("os.write", no_space)
    log.write(b"lost\nlost\n")
    log.write(b"lost\n")
    monkeypatch.setattr("os.write", write)
    log.write(b"after\n")
    before, told, after = (tmp_path / "api.log").read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert 'msg=lines-were-lost lines=3 error="No space left on device"' in told


def test_half_a_line_that_had_room_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "api.log")
    write = os.write
    room = [3]

    def nearly_full(file: int, data: bytes) -> int:
        return write(file, data[: room.pop()]) if room else no_space()

    monkeypatch.setattr("os.write", nearly_full)
    log.write(b"long line\n")
    monkeypatch.setattr("os.write", write)
    log.write(b"after\n")
    half, told, after = (tmp_path / "api.log").read_text().splitlines()
    assert (half, "lines=1" in told, after) == ("lon", True, "after")


def no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_log_that_was_removed_or_replaced_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    log = Log(path)
    log.write(b"1\n")
    path.unlink()
    log.write(b"2\n")
    assert path.read_bytes() == b"2\n"
    path.rename(tmp_path / "moved")
    log.write(b"3\n")
    assert path.read_bytes() == b"3\n"


@pytest.mark.parametrize("plant", ["link", "fifo", "second name"])
def test_nothing_is_written_to_what_is_no_log_of_ours(tmp_path: Path, plant: str) -> None:
    path, target = tmp_path / "api.log", tmp_path / "target"
    target.touch()
    if plant == "link":
        path.symlink_to(target)
    elif plant == "fifo":
        os.mkfifo(path)
    else:
        path.hardlink_to(target)
    log = Log(path)
    log.write(b"1\n")
    assert target.read_bytes() == b""
    path.unlink()
    log.write(b"2\n")
    told, line = path.read_text().splitlines()
    assert ("lines=1" in told, line) == (True, "2")


def test_a_folder_that_was_removed_and_made_again_gets_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = Log(folder / "api.log")
    log.write(b"1\n")
    (folder / "api.log").unlink()
    folder.rmdir()
    log.write(b"2\n")
    folder.mkdir()
    log.write(b"3\n")
    assert (folder / "api.log").read_text().splitlines()[1:] == ["3"]
