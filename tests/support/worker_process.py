"""Workers in processes of their own, whose log a test reads; also as process 1."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import environment
from tests.support.pipeline import LIMIT_S, Pipeline


@dataclass
class WorkerProcess:
    """A worker that runs."""

    process: asyncio.subprocess.Process
    log: Path

    def lines(self, text: str) -> list[str]:
        """Lines of its log that hold the text."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if text in line]

    async def says(self, text: str, times: int = 1) -> list[str]:
        """Wait for this many lines of its log with this text."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.lines(text)) < times:  # noqa: ASYNC110  # a file cannot be waited for
                await asyncio.sleep(0.02)
        return self.lines(text)


def first_of_namespace() -> list[str]:
    """The prefix that makes a command process 1 of its own namespace; skips, with the reason, if that is forbidden."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("NOT TESTED: the worker as process 1 (unshare --pid needs root)")
    return [unshare, "--pid", "--fork", "--mount-proc", "--kill-child"]


@asynccontextmanager
async def logged_worker(
    pulp: Pipeline, modules: str, *, before: tuple[str, ...] = (), **env: str
) -> AsyncIterator[WorkerProcess]:
    """A worker with these modules of operations; killed at the end."""
    log = pulp.storage / "worker.log"
    environment = {
        **os.environ,
        "PULP_KAFKA": pulp.kafka,
        "PULP_POSTGRES": pulp.database,
        "PULP_TOPIC_PREFIX": pulp.topics.events.removesuffix(".events"),
        "PULP_STORAGE": str(pulp.storage),
        "PULP_WORKER_MODULES": modules,
        "PULP_WORKER_NAME": "logged",
        "PULP_WORKER_LEASE_S": "4",
        "PULP_WORKER_GRACE_S": "1",
        **env,
    }
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *before, sys.executable, "-m", "pulp_deploy", "worker", env=environment, stderr=output, stdout=output
        )
    worker = WorkerProcess(process, log)
    try:
        await worker.says("worker is up")
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextmanager
def worker_process(folder: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """A worker with these settings; it runs until the end."""
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pulp_deploy", "worker"],
            env=environment(folder, PULP_STORAGE=str(folder / "storage"), **settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
        assert process.poll() is None, (folder / "worker.log").read_text()
    finally:
        process.kill()
        process.wait()
