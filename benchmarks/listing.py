"""`list`, `list-own`, `list-purged` and `list-5m`: listing tasks among many."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from urllib.parse import parse_qsl

import psycopg
from pulp_api.v3.filters import TASK_FILTERS
from pulp_projections.reading import queries

from benchmarks.filling import fill
from benchmarks.http import Client
from benchmarks.measure import LIMIT, OURS, Measure, Sizes, percentile, ratio_at_least, ratio_at_most
from benchmarks.scene import Servers
from benchmarks.serving import USER, add_to, client, post, serving, start_bare

TASKS = 200_000
MANY_TASKS = 5_000_000
_SHOWN = 100_000
_PURGED = 900_000
_OTHER_USER = "reader"
_LIST = "/pulp/api/v3/tasks/?limit=100&"
_FILTERS = {
    "": "",
    "by state": "state=failed",
    "by name": "name=publish",
    "by resource": "exclusive_resources=repository:repo-7",
    "by time": "started_at__gte=2026-01-03T00:00:00Z",
}
_WARM_UP = 20
_AT_ONCE = 10
"""How many requests of one side come before those of the next: the speed of a shared machine changes in seconds."""

Ask = Callable[[str], Awaitable[None]]
"""Requests the page of a filter and waits for it."""
Connect = Callable[[], AbstractAsyncContextManager[Ask]]


async def few(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """GET of a page of a hundred, in milliseconds; each filter; with 16 clients at once, in requests a second."""
    async with serving(servers) as (made, port):
        await fill(made.database, sizes.of(TASKS, 5000))
        bare = await start_bare(made)
        sides: dict[str, Connect] = {
            OURS: partial(_by_http, port, _LIST),
            LIMIT: partial(_by_http, bare, "/tasks?"),
            "the statement alone": partial(_by_statement, made.database),
        }
        return await _compare(sides, sizes)


async def many(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """The same with many more tasks."""
    async with serving(servers) as (made, port), serving(servers) as (less, port_of_less):
        await fill(made.database, sizes.of(MANY_TASKS, 10_000))
        await fill(less.database, sizes.of(TASKS, 5000))
        return await _compare(
            {OURS: partial(_by_http, port, _LIST), LIMIT: partial(_by_http, port_of_less, _LIST)}, sizes
        )


async def own(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """The same by a user who has written lately, and by one who has not; and right after a submission by the former.

    The list of the former contains what that user has written. The submissions are the same for both sides.
    """
    async with serving(servers) as (made, port):
        await fill(made.database, sizes.of(TASKS, 5000))
        await add_to(made, _OTHER_USER)
        async with client(port) as writing:

            @asynccontextmanager
            async def by(user: str) -> AsyncIterator[Ask]:
                await post(writing)  # it is remembered for longer than the requests take
                async with client(port, user) as asking:
                    yield lambda query: _get(asking, _LIST + query)

            sides: dict[str, Connect] = {
                OURS: partial(by, USER),
                "by a user who wrote nothing": partial(by, _OTHER_USER),
            }
            found = await _compare(sides, sizes)
            after = await _right_after(writing, sides, sizes.of(300, 10))
        return {side: {**metrics, "right after a write p50": after[side]} for side, metrics in found.items()}


async def _right_after(writing: Client, sides: Mapping[str, Connect], times: int) -> dict[str, float]:
    """The median of a list that is asked for as soon as a submission was accepted, the sides in turns."""
    times_s: dict[str, list[float]] = {side: [] for side in sides}
    async with AsyncExitStack() as stack:
        asking = {side: await stack.enter_async_context(connect()) for side, connect in sides.items()}
        for _ in range(times):
            for side, ask in asking.items():
                await post(writing)
                times_s[side] += await _repeated(ask, "", 1)
    return {side: percentile(taken, 50) * 1000 for side, taken in times_s.items()}


async def beside_purged(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """The same for tasks among many more purged ones, against the same number of tasks alone."""
    shown, purged = sizes.of(_SHOWN, 3000), sizes.of(_PURGED, 9000)
    async with serving(servers) as (made, port), serving(servers) as (less, port_of_less):
        await fill(made.database, shown + purged, purged=purged)
        await fill(less.database, shown)
        return await _compare(
            {OURS: partial(_by_http, port, _LIST), LIMIT: partial(_by_http, port_of_less, _LIST)}, sizes
        )


@asynccontextmanager
async def _by_http(port: int, path: str) -> AsyncIterator[Ask]:
    async with client(port) as asking:
        yield lambda query: _get(asking, path + query)


@asynccontextmanager
async def _by_statement(database: str) -> AsyncIterator[Ask]:
    """The bare handler's statement."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:

        async def ask(query: str) -> None:
            conditions = [TASK_FILTERS.condition(name, [value]) for name, value in parse_qsl(query)]
            await queries.tasks(connection, conditions, limit=100)

        yield ask


async def _compare(sides: Mapping[str, Connect], sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    found: dict[str, dict[str, float]] = {side: {} for side in sides}
    for name, query in _FILTERS.items():
        for side, asked in (await _in_turns(sides, query, sizes.of(150, 10), clients=1)).items():
            found[side][f"{name} p50".strip()] = percentile(asked.times_s, 50) * 1000
    for side, asked in (await _in_turns(sides, "", sizes.of(40, 4), clients=16)).items():
        found[side]["with 16 clients"] = len(asked.times_s) / asked.wall_s
    return found


@dataclass(slots=True)
class _Asked:
    """The results of a side."""

    times_s: list[float] = field(default_factory=list)
    """How long each request took."""
    wall_s: float = 0.0
    """The duration of all requests, if several ran at once."""


async def _in_turns(sides: Mapping[str, Connect], query: str, times: int, *, clients: int) -> dict[str, _Asked]:
    """Send this many requests from each client of each side, after a warm-up."""
    found = {side: _Asked() for side in sides}
    async with AsyncExitStack() as stack:
        asking = {
            side: [await stack.enter_async_context(connect()) for _ in range(clients)]
            for side, connect in sides.items()
        }
        for turn in range(-_WARM_UP, times, _AT_ONCE):
            for side, asks in asking.items():
                began_s = time.perf_counter()
                taken = await asyncio.gather(*(_repeated(ask, query, min(_AT_ONCE, times - turn)) for ask in asks))
                if turn >= 0:
                    found[side].wall_s += time.perf_counter() - began_s
                    found[side].times_s += chain.from_iterable(taken)
    return found


async def _repeated(ask: Ask, query: str, times: int) -> list[float]:
    found = []
    for _ in range(times):
        began_s = time.perf_counter()
        await ask(query)
        found.append(time.perf_counter() - began_s)
    return found


async def ask(asking: Client, path: str, times: int) -> list[float]:
    """Milliseconds of each of this many requests, after a warm-up."""
    async with asking:
        taken = await _repeated(lambda query: _get(asking, query), path, times + _WARM_UP)
    return [time_s * 1000 for time_s in taken[_WARM_UP:]]


async def _get(asking: Client, path: str) -> None:
    status, body = await asking.ask("GET", path)
    if status != 200:
        raise RuntimeError(f"GET {path} was answered {status}: {body.decode()}")


MEASURES = (
    Measure(
        name="list",
        what="a page of 100 of many tasks, by one client; by 16",
        unit="requests/s",
        goal="p50 1.2 times the limit: a bare handler of the same tasks",
        together=few,
    ),
    Measure(
        name="list-own",
        what="the same by a user who has written lately, whose list contains that, against one who has not",
        unit="requests/s",
        goal="",
        goals={
            **{f"{name} p50".strip(): ratio_at_most(1.15) for name in _FILTERS},
            "with 16 clients": ratio_at_least(1 / 1.15),
        },
        together=own,
    ),
    Measure(
        name="list-purged",
        what="the same of 100,000 tasks beside 900,000 that are purged, against 100,000 alone",
        unit="requests/s",
        goal="p50 1.3 times that of the tasks alone, by any filter",
        together=beside_purged,
        rounds=1,
    ),
    Measure(
        name="list-5m",
        what="the same of 5 million tasks, against 200,000",
        unit="requests/s",
        goal="p50 1.3 times that of 200,000, by any filter",
        together=many,
        rounds=1,
    ),
)
