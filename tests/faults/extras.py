"""Processes that a fault starts in addition to those of the stack."""

import asyncio
import itertools
import os
import subprocess
import sys
from pathlib import Path

from pulp_deploy.stack import Stack


class Extras:
    """Each has a name of its own, and a log of that name."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._numbers = itertools.count(1)

    def name(self, kind: str) -> str:
        """A name that is new in this run."""
        return f"{kind}-extra-{next(self._numbers)}"

    def start(self, name: str, *command: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start `pulp-tasks COMMAND`."""
        with (self._folder / "logs" / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pulp_deploy", *command],
                env={**os.environ, **self._stack.service_environment(), **(environment or {})},
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._running[name] = process
        return process

    async def ended(self, name: str, limit_s: float = 120.0) -> int:
        """Wait until it has ended; its exit code. Raises `TimeoutExpired` after the limit."""
        code = await asyncio.to_thread(self._running[name].wait, limit_s)
        del self._running[name]
        return code

    async def end(self, name: str) -> int:
        """SIGTERM to it; its exit code. Raises `TimeoutExpired` after a minute."""
        self._running[name].terminate()
        return await self.ended(name, 60)

    async def kill(self, name: str) -> None:
        """SIGKILL to it."""
        self._running[name].kill()
        await self.ended(name)

    def kill_all(self) -> None:
        """SIGKILL to what still runs."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self._running.clear()
