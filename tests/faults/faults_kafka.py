"""Brokers are lost, restarted or cannot write; the log gets malformed and unexpected records."""

import asyncio
import resource
import signal
from typing import Final

import httpx
import psutil

from tests.faults.clients import TASKS
from tests.faults.cluster import BROKER_NAMES, PARTITIONS, TOPIC
from tests.faults.poison import poison, write
from tests.faults.stage import Fault, Stage, no_limits

_PROBE: Final = {"operation": "faults-async", "arguments": {"number": 0, "steps": 1, "reports": 1, "modes": {}}}


async def two_brokers_lost(stage: Stage) -> None:
    """Writes are refused with 503, reads go on; then the brokers come back."""
    lost = stage.random.sample(BROKER_NAMES, 2)
    await asyncio.gather(*map(stage.arena.kill, lost))
    if stage.is_alone:
        await _refused(stage)
    await stage.last(8, 16)
    for name in lost:
        stage.arena.start(name)
    await stage.arena.until_brokers()


async def _refused(stage: Stage) -> None:
    """A single broker cannot confirm a write: no client gets a confirmation, and reads still work."""
    url, auth = stage.arena.stack.url, stage.arena.auth
    async with httpx.AsyncClient(base_url=url, auth=auth, timeout=30, trust_env=False) as client:
        write, read = await asyncio.gather(client.post(TASKS, json=_PROBE), client.get(TASKS))
    where = "two of three brokers lost"
    if write.status_code != 503 or "Retry-After" not in write.headers:
        stage.state.ledger.breach("API", where, f"a submission was answered {write.status_code}: {write.text:.300}")
    if read.status_code != 200:
        stage.state.ledger.breach("API", where, f"a read was answered {read.status_code}: {read.text:.300}")
    stage.state.count("submissions that were refused while two brokers were away")


async def every_broker_restarted(stage: Stage) -> None:
    """A rolling restart: leaders move from one to the other."""
    for name in BROKER_NAMES:
        await stage.arena.stop(name)
        stage.arena.start(name)
        await stage.arena.until_brokers()


async def controller_killed(stage: Stage) -> None:
    """The broker whose controller leads the quorum."""
    name = await asyncio.to_thread(stage.arena.cluster.controller)
    await stage.arena.kill(name)
    await stage.last(2, 8)
    stage.arena.start(name)
    await stage.arena.until_brokers()


async def controller_stopped(stage: Stage) -> None:
    """The same broker is stopped, and wakes when another controller leads."""
    pid = stage.arena.signal(await asyncio.to_thread(stage.arena.cluster.controller), signal.SIGSTOP)
    try:
        await stage.last(9, 30)
    finally:
        stage.arena.wake(pid)
    await stage.arena.until_brokers()


async def controller_terminated(stage: Stage) -> None:
    """The same broker shuts down cleanly and hands over its leadership."""
    name = await asyncio.to_thread(stage.arena.cluster.controller)
    await stage.arena.stop(name)
    await stage.last(0, 5)
    stage.arena.start(name)
    await stage.arena.until_brokers()


async def broker_cannot_write(stage: Stage) -> None:
    """One broker's files cannot grow any more, as on a full disk: it exits and is restarted."""
    name = stage.one_of("broker")
    pid = stage.arena.pid(name)
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    await stage.last(6, 12)
    if not psutil.pid_exists(pid) or stage.arena.pid(name) != pid:
        stage.state.count("brokers that gave up when they could not write")
    await stage.arena.kill(name)
    stage.arena.start(name)
    await stage.arena.until_brokers()


async def poisoned(stage: Stage) -> None:
    """Malformed and unexpected records of every kind."""
    records = list(poison(stage.random, PARTITIONS, stage.state.recent(stage.random)))
    await asyncio.to_thread(write, stage.arena.kafka, TOPIC, records)
    stage.state.count("poisonous records", len(records))


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("two of three brokers lost", "broker", two_brokers_lost),
    Fault("rolling restart of the brokers", "broker", every_broker_restarted),
    Fault("kill -9: controller", "broker", controller_killed),
    Fault("SIGSTOP, SIGCONT: controller", "broker", controller_stopped),
    Fault("SIGTERM: controller", "broker", controller_terminated),
    Fault("a broker cannot write", "broker", broker_cannot_write, no_limits),
    Fault("poison of every kind", "log", poisoned),
)
