"""`list` and `list-5m`: reading what many tasks have left behind."""

import asyncio
import sys
import time
from collections.abc import Mapping

import psycopg
from pulp_deploy.local.ports import free_ports
from pulp_projections import queries

from benchmarks.filling import fill
from benchmarks.http import Client
from benchmarks.measure import LIMIT, OURS, Measure, Sizes, percentile
from benchmarks.scene import LIMIT_S, Servers
from benchmarks.serving import client, serving

TASKS = 200_000
MANY_TASKS = 5_000_000
_LIST = "/pulp/api/v3/tasks/?limit=100"
_FILTERS = {
    "": "",
    "by state": "&state=failed",
    "by name": "&name=publish",
    "by resource": "&exclusive_resources=repository:repo-7",
    "by time": "&started_at__gte=2026-01-03T00:00:00Z",
}


async def ours(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """GET of a page of a hundred, in milliseconds; each filter; with 16 clients at once, in requests a second."""
    return await _pages(servers, sizes, sizes.of(TASKS, 5000))


async def many(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The same of many more."""
    return await _pages(servers, sizes, sizes.of(MANY_TASKS, 10_000))


async def _pages(servers: Servers, sizes: Sizes, tasks: int) -> Mapping[str, float]:
    async with serving(servers) as (made, port):
        await fill(made.database, tasks)
        found = {}
        for name, query in _FILTERS.items():
            times_ms = await ask(client(port), _LIST + query, sizes.of(150, 10))
            found[f"{name} p50".strip()] = percentile(times_ms, 50)
        return {**found, "with 16 clients": await _rate(port, _LIST, sizes.of(40, 4))}


async def bare(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The same page from a bare handler without filters."""
    async with serving(servers) as (made, _):
        await fill(made.database, sizes.of(TASKS, 5000))
        [port] = free_ports(1)
        await made.run("bare", sys.executable, "-m", "benchmarks.bare", str(port), PULP_POSTGRES=made.database)
        await _until_open(port)
        times_ms = await ask(client(port), "/tasks", sizes.of(150, 10))
        p50 = percentile(times_ms, 50)
        rate = await _rate(port, "/tasks", sizes.of(40, 4))
        return {**{f"{name} p50".strip(): p50 for name in _FILTERS}, "with 16 clients": rate}


async def statement(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The statement alone, by one connection; 16 connections."""
    async with serving(servers) as (made, _):
        await fill(made.database, sizes.of(TASKS, 5000))
        times_ms = await _query(made.database, sizes.of(150, 10))
        each = sizes.of(40, 4)
        began_s = time.perf_counter()
        await asyncio.gather(*(_query(made.database, each) for _ in range(16)))
        rate = 16 * each / (time.perf_counter() - began_s)
        p50 = percentile(times_ms, 50)
        return {**{f"{name} p50".strip(): p50 for name in _FILTERS}, "with 16 clients": rate}


async def _query(database: str, times: int) -> list[float]:
    found = []
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for _ in range(times):
            began_s = time.perf_counter()
            await queries.tasks(connection, [], limit=100)
            found.append((time.perf_counter() - began_s) * 1000)
    return found


async def _until_open(port: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                async with client(port):
                    return
            except OSError:
                await asyncio.sleep(0.1)


async def ask(asking: Client, path: str, times: int) -> list[float]:
    """How long so many requests took, each in milliseconds; some come before to warm up."""
    found = []
    async with asking:
        for number in range(times + 5):
            began_s = time.perf_counter()
            status, body = await asking.ask("GET", path)
            if status != 200:
                raise RuntimeError(f"GET {path} was answered {status}: {body.decode()}")
            if number >= 5:
                found.append((time.perf_counter() - began_s) * 1000)
    return found


async def _rate(port: int, path: str, each: int) -> float:
    began_s = time.perf_counter()
    await asyncio.gather(*(ask(client(port), path, each) for _ in range(16)))
    return 16 * (each + 5) / (time.perf_counter() - began_s)


MEASURES = (
    Measure(
        name="list",
        what="a page of 100 of many tasks, by one client; by 16",
        unit="requests/s",
        goal="p50 1.2 times the limit: a bare handler",
        sides={OURS: ours, LIMIT: bare, "the statement alone": statement},
    ),
    Measure(
        name="list-5m",
        what="the same of 5 million tasks, against 200,000",
        unit="requests/s",
        goal="p50 1.3 times that of 200,000, by any filter",
        sides={OURS: many, LIMIT: ours},
        rounds=1,
    ),
)
