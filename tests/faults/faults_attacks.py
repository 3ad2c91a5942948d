"""Attackers alongside the load: each kind for a while, from their own addresses, with their own credentials or none."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx
import psutil

from benchmarks.attacks import ATTACKS, TASKS
from benchmarks.siege import attacking
from tests.faults.arena import ROOT, Arena
from tests.faults.stage import Fault, Stage

MEMORY: Final = "memory of the API while attackers are at it"
ANSWER: Final = "an honest request while attackers alone are at it"
_LOOK_S: Final = 0.2


def no_addresses(arena: Arena) -> str | None:
    """Why attackers cannot use their own addresses here; None if they can."""
    return None if Path("/proc/self/status").exists() else "all of 127.0.0.0/8 is the machine's own on Linux alone"


def _attacked(name: str) -> Callable[[Stage], Awaitable[None]]:
    async def run(stage: Stage) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        port = stage.arena.stack.api_port
        async with attacking(name, port, stage.arena.attacker, environment) as counts:
            looking = asyncio.create_task(_look(stage), name="memory of the API")
            asking = asyncio.create_task(_ask(stage), name="honest client") if stage.is_alone else None
            await stage.last(6, 14)
            looking.cancel()
            if asking is not None:
                asking.cancel()
        for what, number in counts.items():
            stage.state.count(f"attackers: {what}", number)
        stage.state.count("attacks")
        await stage.until_back()

    return run


async def _look(stage: Stage) -> None:
    """Measure the memory of the current API process until cancelled."""
    while True:
        pid = stage.arena.stack.pid("api")
        if pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):  # another fault has ended it
                stage.state.measure(MEMORY, psutil.Process(pid).memory_info().rss / 2**20)
        await asyncio.sleep(_LOOK_S)


async def _ask(stage: Stage) -> None:
    """Send requests as an honest client that reconnects each time, until cancelled, since the load itself waits for
    tasks."""
    while True:
        began_s = time.perf_counter()
        url = f"{stage.arena.stack.url}{TASKS}?limit=20"
        async with httpx.AsyncClient(auth=stage.arena.auth, timeout=10, trust_env=False) as http:
            try:
                answer = await http.get(url)
            except httpx.TransportError as error:
                stage.state.ledger.breach("API", url, f"attackers keep honest clients out: {type(error).__name__}")
            else:
                if answer.status_code != 200:
                    text = f"an honest client was answered {answer.status_code} beside attackers: {answer.text:.300}"
                    stage.state.ledger.breach("API", url, text)
        stage.state.measure(ANSWER, (time.perf_counter() - began_s) * 1000)
        await asyncio.sleep(_LOOK_S)


FAULTS: Final[tuple[Fault, ...]] = tuple(
    Fault(f"attackers: {name}", "attackers", _attacked(name), no_addresses) for name in ATTACKS
)
