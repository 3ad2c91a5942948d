"""The process that is elected to dispatch is killed, stopped, cut off from Postgres, or ended in good order."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from tests.faults.assigning import PROMISE, elected
from tests.faults.clients import TASKS
from tests.faults.run_state import Probe
from tests.faults.stage import Fault, Stage
from tests.faults.waiting import until

KILLED: Final = "tasks start again after a kill -9 of the dispatcher"
ENDED: Final = "tasks start again after the dispatcher ended in good order"
_PROBE: Final = {
    "operation": "faults-async",
    "arguments": {"number": 0, "steps": 1, "reports": 1, "modes": {}},
    "priority": 1000,
}
"""A task without a resource, which needs a slot and a dispatcher, and nothing else."""
_PROBES: Final = 4
_BETWEEN_S: Final = 0.5


async def killed(stage: Stage) -> None:
    """kill -9: another processor is elected when its lease is over."""
    name = await _until_elected(stage)
    at_ms = time.time() * 1000
    await stage.arena.kill(name)
    await _probe(stage, KILLED, at_ms)
    await stage.last(8, 12)
    stage.arena.start(name)
    await stage.until_back()


async def ended(stage: Stage) -> None:
    """SIGTERM: it gives up its lease."""
    name = await _until_elected(stage)
    at_ms = time.time() * 1000
    await asyncio.gather(stage.arena.stop(name), _probe(stage, ENDED, at_ms))
    await stage.last(0, 5)
    stage.arena.start(name)
    await stage.until_back()


async def stopped(stage: Stage) -> None:
    """It is stopped for longer than its lease, and wakes when another one is elected."""
    name = await _until_elected(stage)
    pid = stage.arena.signal(name, signal.SIGSTOP)
    try:
        async with _deposed(stage, name):
            await stage.last(9, 30)
    finally:
        stage.arena.wake(pid)
    await stage.until_back()


async def cut_off(stage: Stage) -> None:
    """Its connections to Postgres are silent for longer than its lease; what it sent meanwhile comes late."""
    name = await _until_elected(stage)
    proxy, pid = stage.arena.database.proxy, stage.arena.pid(name)
    await proxy.hold(pid)
    try:
        async with _deposed(stage, name):
            await stage.last(9, 14)
    finally:
        await proxy.release(pid)
    await stage.until_back()


async def _until_elected(stage: Stage) -> str:
    """Wait until one of the stack's processors is elected, since an extra one may be; its name."""
    found: list[str] = []

    def is_elected() -> bool:
        pid = elected(stage.arena.database.execute)
        found[:] = [name for name in stage.arena.names_of("processor") if stage.arena.stack.pid(name) == pid]
        return pid is not None and bool(found)

    await until("a processor of the stack is elected to dispatch", is_elected)
    return found[0]


async def _probe(stage: Stage, bound: str, at_ms: float) -> None:
    """Submit tasks after a fault at this moment, whose wait for the start is judged at the end of the run."""
    if not stage.is_alone:
        return
    url, auth = stage.arena.stack.url, stage.arena.auth
    async with httpx.AsyncClient(base_url=url, auth=auth, timeout=30, trust_env=False) as client:
        for _ in range(_PROBES):
            submitted_ms = time.time() * 1000
            answer = (await client.post(TASKS, json=_PROBE)).raise_for_status()
            task_id = answer.json()["task"].rstrip("/").rpartition("/")[2]
            stage.state.probes.append(Probe(bound, task_id, max(at_ms, submitted_ms)))
            await asyncio.sleep(_BETWEEN_S)


@asynccontextmanager
async def _deposed(stage: Stage, name: str) -> AsyncIterator[None]:
    """Inside, a process goes beyond its lease as the dispatcher. Afterwards another one must be elected."""
    yield
    if not stage.is_alone:
        return
    successor = await asyncio.to_thread(elected, stage.arena.database.execute)
    if successor in (None, stage.arena.stack.pid(name)):
        stage.state.ledger.breach(PROMISE, name, "it is beyond its lease, and no other processor was elected")
    else:
        stage.state.count("dispatchers that were deposed while they could not know")


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("kill -9: dispatcher", "processor", killed),
    Fault("SIGTERM: dispatcher", "processor", ended),
    Fault("SIGSTOP, SIGCONT: dispatcher", "processor", stopped),
    Fault("dispatcher cut off from postgres", "processor", cut_off),
)
