"""`siege`: how long honest clients wait, and how much memory the API uses, during attacks of each kind."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from pulp_accounts.users import Role, add_user

from benchmarks.attacks import ATTACKS, TASKS
from benchmarks.http import Client
from benchmarks.measure import LIMIT, OURS, Measure, Sizes, percentile
from benchmarks.scene import Scene, Servers
from benchmarks.serving import client, post, serving

ATTACKER: Final = ("mallory", "nine loud gulls before noon")
_HONEST: Final = 4
_PATIENCE_S: Final = 10.0
"""The limit of an honest request; one that fails counts as this long."""
_PAUSE_S: Final = 0.02
_ARGUMENT_BYTES: Final = (900_000, 250_000, 60_000)
"""The size of the listed tasks' arguments: the largest accepted."""


@dataclass(slots=True)
class Honest:
    """The results of honest clients."""

    times_ms: list[float] = field(default_factory=list)
    failures: int = 0

    def p99_ms(self) -> float:
        """The 99th percentile of the requests."""
        return percentile(self.times_ms, 99)


async def siege(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """Every attack, each after the same honest clients alone."""
    ours: dict[str, float] = {}
    alone: dict[str, float] = {}
    async with serving(servers) as (made, port):
        await _add_attacker(made)
        await fill(client(port), sizes.of(240, 20))
        [api] = [each for each in made.running if each.name == "api"]
        for name in ATTACKS:
            before = await honest_for(port, sizes.of(5, 1))
            reset_peak(api.process.pid)
            async with attacking(name, port, ATTACKER, servers.environment()) as counts:
                await asyncio.sleep(sizes.of(3, 1))  # until all attackers are at work
                during = await honest_for(port, sizes.of(12, 1))
            ours |= {
                f"{name} p99": during.p99_ms(),
                f"{name} answered": len(during.times_ms) - during.failures,
                f"{name} attempts": counts["connections"],
                f"{name} MiB": peak_mib(api.process.pid),
            }
            alone |= {f"{name} p99": before.p99_ms()}
    return {OURS: ours, LIMIT: alone}


async def honest_for(port: int, seconds: float) -> Honest:
    """Run honest clients for this many seconds; one of them reconnects for each request."""
    seen = Honest()
    ends_s = time.monotonic() + seconds
    await asyncio.gather(*(_honest(port, seen, ends_s, number) for number in range(_HONEST)))
    return seen


async def _honest(port: int, seen: Honest, ends_s: float, number: int) -> None:
    asking: Client | None = None
    for turn in range(10**9):
        if time.monotonic() >= ends_s:
            break
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                asking = asking or await client(port).__aenter__()
                await _request(asking, turn)
        except (OSError, EOFError, RuntimeError):  # a TimeoutError is an OSError
            seen.failures += 1
            seen.times_ms.append(_PATIENCE_S * 1000)
            await _closed(asking)
            asking = None
        else:
            seen.times_ms.append((time.perf_counter() - began_s) * 1000)
        if number == 0:
            await _closed(asking)
            asking = None
        await asyncio.sleep(_PAUSE_S)
    await _closed(asking)


async def _request(asking: Client, turn: int) -> None:
    if turn % 3 == 0:
        await post(asking)
        return
    status, body = await asking.ask("GET", f"{TASKS}?limit=20" if turn % 3 == 1 else "/pulp/api/v3/status/")
    if status != 200:
        raise RuntimeError(f"answered {status}: {body.decode()}")


async def _closed(asking: Client | None) -> None:
    if asking is not None:
        await asking.__aexit__(None, None, None)


async def fill(asking: Client, tasks: int) -> None:
    """Submit this many tasks with arguments of the largest size."""
    async with asking:
        largest = iter(_ARGUMENT_BYTES)
        text = "x" * next(largest)
        for _ in range(tasks):
            while True:
                submission = {"operation": "noop", "resources": [], "arguments": {"text": text}}
                status, body = await asking.ask("POST", TASKS, msgspec.json.encode(submission))
                if status == 202:
                    break
                if status not in (400, 413):
                    raise RuntimeError(f"POST {TASKS} was answered {status}: {body.decode()}")
                text = "x" * next(largest)


@asynccontextmanager
async def attacking(
    name: str, port: int, user: tuple[str, str], environment: Mapping[str, str]
) -> AsyncIterator[dict[str, int]]:
    """Attackers in a process of their own; afterwards the mapping counts their outcomes."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.attacks", name, str(port)), env=environment, stdin=pipe, stdout=pipe
    )
    counts: dict[str, int] = {"connections": 0}
    assert process.stdin is not None
    process.stdin.write(":".join(user).encode() + b"\n")
    try:
        yield counts
        process.stdin.close()
        told, _ = await process.communicate()
        counts |= json.loads(told)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def reset_peak(pid: int) -> None:
    """Reset `peak_mib`."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    """The peak resident memory of the process."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


async def _add_attacker(made: Scene) -> None:
    async with await psycopg.AsyncConnection.connect(made.database, autocommit=True) as connection:
        await add_user(connection, *ATTACKER, Role.SUBMITTER)


MEASURES = (
    Measure(
        name="siege",
        what="honest clients beside attackers of each kind; p99 of their requests, and the most that the API took",
        unit="",
        goal="p99 1,000 ms; 250 MiB",
        together=siege,
        rounds=1,
    ),
)
