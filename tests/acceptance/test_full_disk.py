"""A temporarily full disk: the supervisor keeps running, and everything recovers by itself afterwards."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from pulp_deploy.folder import DataFolder

from tests.support.command import environment, pulp_tasks

DISK_MB = 700
WAIT_S = 180.0
LOOK_EVERY_S = 0.2


class Disk(NamedTuple):
    """A small file system, and a file that fills it."""

    folder: Path

    @property
    def filler(self) -> Path:
        return self.folder / "filler"

    def fill(self) -> None:
        """Fill the disk."""
        with pytest.raises(OSError, match="No space left on device"):
            self._write_on()

    def _write_on(self) -> None:
        with self.filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))

    def free(self) -> None:
        self.filler.unlink()


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-disk-") as name:
        Path(name).chmod(0o755)
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0755", "tmpfs", name]
        done = subprocess.run(mounting, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"NOT TESTED: what a full disk does to a stack. It needs root and mount: {done.stderr.strip()}")
        try:
            yield Disk(Path(name))
        finally:
            subprocess.run(["umount", "-l", name], check=True)


class Running(NamedTuple):
    """A stack with only its data on the disk."""

    disk: Disk
    env: dict[str, str]

    @property
    def data(self) -> Path:
        return self.disk.folder / "data"

    def run(self, command: str, *more: str) -> "subprocess.CompletedProcess[str]":
        return pulp_tasks(command, "--data", str(self.data), *more, env=self.env, timeout_s=WAIT_S)

    def pids(self) -> dict[str, int | None]:
        found = DataFolder(self.data).processes()
        return {name: identity and identity.pid for name, identity in found.items()}


@pytest.fixture(scope="module")
def running(disk: Disk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    stack = Running(disk, environment(tmp_path_factory.mktemp("home")))
    done = stack.run("up", "--detach", "--free-ports")
    assert done.returncode == 0, done.stderr
    yield stack
    stack.run("down")


def until(what: str, holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(LOOK_EVERY_S)


def is_well(stack: Running) -> bool:
    return stack.run("status").returncode == 0


def submit(stack: Running) -> "subprocess.CompletedProcess[str]":
    """Run a task that needs no repository to its end."""
    program = str(Path(sys.executable).with_name("pulp-admin"))
    command = [program, "submit", "remove-orphans", "--watch"]
    return subprocess.run(command, env=stack.env, capture_output=True, text=True, check=False)


def test_commands_work_while_the_disk_is_full(running: Running) -> None:
    running.disk.fill()
    before = running.pids()
    status = running.run("status", "--output", "json")
    states = {each["name"]: each["state"] for each in json.loads(status.stdout)["processes"]}
    assert states.items() >= dict.fromkeys(("supervisor", "api", "processor", "worker"), "running").items()
    assert "kafka-1" in running.run("logs", "-n", "5").stdout
    restarted = running.run("restart", "processor")
    assert restarted.returncode == 0, restarted.stderr
    after = running.pids()["processor"]
    assert after is not None
    assert after != before["processor"]


def test_all_comes_back_by_itself_when_there_is_room_again(running: Running) -> None:
    postgres = running.pids()["postgres"]
    assert postgres is not None
    psutil.Process(postgres).kill()
    seen: dict[str, set[int | None]] = {"kafka-1": set(), "postgres": set()}

    def have_failed_again_and_again() -> bool:
        for name, pid in running.pids().items():
            seen.get(name, set()).add(pid)
        return all(len(pids) > 2 for pids in seen.values())

    until("Kafka or Postgres does not mind the full disk", have_failed_again_and_again)
    assert running.run("status").returncode == os.EX_UNAVAILABLE
    supervisor = DataFolder(running.data).owner()
    assert supervisor is not None
    running.disk.free()
    until("not all came back", lambda: is_well(running))
    until("no task runs", lambda: submit(running).returncode == 0)
    assert DataFolder(running.data).owner() == supervisor
    recorded = DataFolder(running.data).processes()
    assert {name for name, identity in recorded.items() if identity is None or identity.process() is None} == set()
    assert [name for name in os.listdir(running.data) if name.startswith(".")] == []


def test_what_was_not_logged_for_want_of_room_is_told(running: Running) -> None:
    logs = "".join(path.read_text(errors="replace") for path in (running.data / "logs").glob("*.log"))
    assert "lines-were-lost" in logs
    assert 'error="No space left on device"' in logs


def test_down_and_up_on_a_full_disk(running: Running) -> None:
    running.disk.fill()
    down = running.run("down")
    assert down.returncode == 0, down.stderr
    up = running.run("up", "--detach")
    assert up.returncode in (os.EX_IOERR, os.EX_CONFIG, os.EX_SOFTWARE)
    assert "No space left on device" in up.stderr
    assert "Traceback" not in up.stderr
    assert [name for name in os.listdir(running.data) if name.startswith(".")] == []
    running.disk.free()
    up = running.run("up", "--detach")
    assert up.returncode == 0, up.stderr
    assert submit(running).returncode == 0


def test_a_file_system_that_is_read_only_is_told(disk: Disk, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="pulp-tasks-disk-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=0755", "tmpfs", name], check=True)
        try:
            done = pulp_tasks("up", "--data", f"{name}/data", env=environment(tmp_path))
        finally:
            subprocess.run(["umount", "-l", name], check=True)
    assert (done.returncode, "cannot be used: Read-only file system" in done.stderr) == (os.EX_CONFIG, True)
