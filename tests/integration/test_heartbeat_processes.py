"""Each process shows by its heartbeat file when it is at work, and obeys SIGTERM at any time, even as process 1."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from pulp_deploy.local.ports import free_ports
from pulp_deploy.probe import answer
from pulp_events.topics import Topics
from pulp_runtime.heartbeat_file import Beat

from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.processes import gone
from tests.support.worker_process import first_of_namespace

LIMIT_S = 60


@asynccontextmanager
async def running(
    *arguments: str, folder: Path, settings: dict[str, str], before: list[str] | None = None
) -> AsyncIterator[Process]:
    """A process of `pulp-tasks` that logs to the file `log`; killed at the end."""
    with (folder / "log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(before or []),
            *(sys.executable, "-m", "pulp_deploy", *arguments),
            env=environment(folder, **settings),
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def is_up(path: str) -> bool:
    """Whether a process has logged that it is up."""
    try:
        return Beat.read(path).is_up
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("command", ["api", "processor", "worker"])
async def test_a_process_is_ready_when_it_is_up_and_leaves_no_heartbeat(
    command: str, backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    path = str(tmp_path / "heartbeat")
    settings = {
        "PULP_KAFKA": backend.kafka,
        "PULP_POSTGRES": database,
        "PULP_TOPIC_PREFIX": topics.events.removesuffix(".events"),
        "PULP_STORAGE": str(tmp_path / "storage"),
        "PULP_API_PORT": str(free_ports(1)[0]),
        "PULP_HEARTBEAT": path,
    }
    async with running(command, folder=tmp_path, settings=settings) as process, asyncio.timeout(LIMIT_S):
        while not is_up(path):
            assert process.returncode is None, (tmp_path / "log").read_text()
            await asyncio.sleep(0.05)
        assert [answer([word], path) for word in ("live", "ready")] == [0, 0]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert answer(["live"], path) == 1


@pytest.mark.parametrize("command", ["api", "processor", "worker", "topics create"])
async def test_process_1_ends_at_sigterm_while_it_waits_for_kafka(command: str, tmp_path: Path) -> None:
    settings = {
        "PULP_KAFKA": "127.0.0.1:1",
        "PULP_POSTGRES": "host=127.0.0.1 port=1",
        "PULP_STORAGE": str(tmp_path / "storage"),
        "PULP_STARTUP_TIMEOUT_S": "600",
    }
    before = first_of_namespace()
    async with (
        running(*command.split(), folder=tmp_path, settings=settings, before=before) as outer,
        asyncio.timeout(LIMIT_S),
    ):
        while "waiting for Kafka" not in (tmp_path / "log").read_text():  # noqa: ASYNC110  # a file cannot be waited for
            await asyncio.sleep(0.02)
        [first] = psutil.Process(outer.pid).children()
        os.kill(first.pid, signal.SIGTERM)
        assert await outer.wait() == 128 + signal.SIGTERM
        await gone(first.pid)
