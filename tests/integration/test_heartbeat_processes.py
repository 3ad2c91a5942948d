"""Each process says by its heartbeat file when it is at work, and heeds SIGTERM at any time, also as process 1."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pulp_deploy.local.ports import free_ports
from pulp_deploy.probe import answer
from pulp_events.heartbeat_file import Beat
from pulp_events.topics import Topics

from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.processes import gone
from tests.support.worker_process import first_of_namespace

LIMIT_S = 60


async def is_up(process: "subprocess.Popen[bytes]", path: Path) -> None:
    """Returns when the process has written that it is up; an error if it ends instead."""
    async with asyncio.timeout(LIMIT_S):
        while not (path.exists() and Beat.read(str(path)).is_up):
            assert process.poll() is None
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("command", ["api", "processor", "worker"])
async def test_a_process_is_ready_when_it_is_up_and_leaves_no_heartbeat(
    command: str, backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    path = tmp_path / "heartbeat"
    settings = {
        "PULP_KAFKA": backend.kafka,
        "PULP_POSTGRES": database,
        "PULP_TOPIC_PREFIX": topics.events.removesuffix(".events"),
        "PULP_STORAGE": str(tmp_path / "storage"),
        "PULP_API_PORT": str(free_ports(1)[0]),
        "PULP_HEARTBEAT": str(path),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pulp_deploy", command], env=environment(tmp_path, **settings), cwd=tmp_path
    )
    try:
        await is_up(process, path)
        assert [answer([word], str(path)) for word in ("live", "ready")] == [0, 0]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, LIMIT_S) == 0
        assert not path.exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "command", [["api"], ["processor"], ["worker"], ["topics", "create"]], ids=lambda words: words[0]
)
async def test_process_1_ends_at_sigterm_while_it_waits_for_kafka(command: list[str], tmp_path: Path) -> None:
    settings = {
        "PULP_KAFKA": "127.0.0.1:1",
        "PULP_POSTGRES": "host=127.0.0.1 port=1",
        "PULP_STORAGE": str(tmp_path / "storage"),
        "PULP_STARTUP_TIMEOUT_S": "600",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        outer = subprocess.Popen(
            [*first_of_namespace(), sys.executable, "-m", "pulp_deploy", *command],
            env=environment(tmp_path, **settings),
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    try:
        async with asyncio.timeout(LIMIT_S):
            while b"waiting for Kafka" not in log.read_bytes():  # noqa: ASYNC110  # a file cannot be waited for
                await asyncio.sleep(0.02)
        [inner] = [int(pid) for pid in Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()]
        subprocess.run(["kill", "-TERM", str(inner)], check=True)
        assert await asyncio.to_thread(outer.wait, LIMIT_S) == 128 + signal.SIGTERM
        await gone(inner)
    finally:
        outer.kill()
        outer.wait()
