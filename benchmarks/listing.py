"""`list` and `list-5m`: reading what many tasks have left behind."""

import asyncio
import sys
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

import psycopg
from pulp_api.v3_filters import condition_of
from pulp_deploy.local.ports import free_ports
from pulp_projections import queries

from benchmarks.filling import fill
from benchmarks.http import Client
from benchmarks.measure import LIMIT, OURS, Measure, Sizes, percentile
from benchmarks.scene import LIMIT_S, Servers
from benchmarks.serving import client, serving

TASKS = 200_000
MANY_TASKS = 5_000_000
_LIST = "/pulp/api/v3/tasks/?limit=100&"
_FILTERS = {
    "": "",
    "by state": "state=failed",
    "by name": "name=publish",
    "by resource": "exclusive_resources=repository:repo-7",
    "by time": "started_at__gte=2026-01-03T00:00:00Z",
}
_WARM_UP = 20


async def ours(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """GET of a page of a hundred, in milliseconds; each filter; with 16 clients at once, in requests a second."""
    return await _pages(servers, sizes, sizes.of(TASKS, 5000))


async def many(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The same of many more."""
    return await _pages(servers, sizes, sizes.of(MANY_TASKS, 10_000))


async def _pages(servers: Servers, sizes: Sizes, tasks: int) -> Mapping[str, float]:
    async with serving(servers) as (made, port):
        await fill(made.database, tasks)
        return await _asked(port, _LIST, sizes)


async def bare(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The same tasks from a bare handler."""
    async with serving(servers) as (made, _):
        await fill(made.database, sizes.of(TASKS, 5000))
        [port] = free_ports(1)
        await made.run("bare", sys.executable, "-m", "benchmarks.bare", str(port), PULP_POSTGRES=made.database)
        await _until_open(port)
        return await _asked(port, "/tasks?", sizes)


async def _asked(port: int, path: str, sizes: Sizes) -> Mapping[str, float]:
    found = {}
    for name, query in _FILTERS.items():
        times_ms = await ask(client(port), path + query, sizes.of(150, 10))
        found[f"{name} p50".strip()] = percentile(times_ms, 50)
    began_s, each = time.perf_counter(), sizes.of(40, 4)
    await asyncio.gather(*(ask(client(port), path, each) for _ in range(16)))
    return {**found, "with 16 clients": 16 * (each + _WARM_UP) / (time.perf_counter() - began_s)}


async def statement(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """The bare handler's statement alone, by one connection; by 16."""
    async with serving(servers) as (made, _):
        await fill(made.database, sizes.of(TASKS, 5000))
        found = {}
        for name, query in _FILTERS.items():
            times_ms = await _query(made.database, query, sizes.of(150, 10))
            found[f"{name} p50".strip()] = percentile(times_ms, 50)
        began_s, each = time.perf_counter(), sizes.of(40, 4)
        await asyncio.gather(*(_query(made.database, "", each) for _ in range(16)))
        return {**found, "with 16 clients": 16 * (each + _WARM_UP) / (time.perf_counter() - began_s)}


async def _query(database: str, query: str, times: int) -> list[float]:
    conditions = [condition_of(name, [value]) for name, value in parse_qsl(query)]
    found = []
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for _ in range(times + _WARM_UP):
            began_s = time.perf_counter()
            await queries.tasks(connection, conditions, limit=100)
            found.append((time.perf_counter() - began_s) * 1000)
    return found[_WARM_UP:]


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
        for _ in range(times + _WARM_UP):
            began_s = time.perf_counter()
            status, body = await asking.ask("GET", path)
            if status != 200:
                raise RuntimeError(f"GET {path} was answered {status}: {body.decode()}")
            found.append((time.perf_counter() - began_s) * 1000)
    return found[_WARM_UP:]


MEASURES = (
    Measure(
        name="list",
        what="a page of 100 of many tasks, by one client; by 16",
        unit="requests/s",
        goal="p50 1.2 times the limit: a bare handler of the same tasks",
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
