"""`purge`: purging a million tasks, and what everything else feels of it meanwhile."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import msgspec

from benchmarks.filling import fill
from benchmarks.footprint import pss_mib
from benchmarks.http import Client
from benchmarks.measure import OURS, Measure, Sizes, at_most, percentile, ratio_at_most
from benchmarks.scene import LIMIT_S, Scene, Servers
from benchmarks.serving import client, post, serving

PURGED: Final = 1_000_000
KEPT: Final = 100_000
_BEFORE: Final = "before"
_TASKS: Final = "/pulp/api/v3/tasks/"
_LISTS: Final = {
    "list": "?limit=100",
    "list by state": "?limit=100&state=failed",
    "list by name": "?limit=100&name=publish",
    "list by resource": "?limit=100&exclusive_resources=repository:repo-7",
    "list, oldest first": "?limit=100&ordering=pulp_created",
}
_PAUSE_S: Final = 0.05
_LIMIT_S: Final = 3600


@dataclass(slots=True)
class _Seen:
    """What was seen while something went on."""

    times_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long requests took, by kind."""
    mib: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """The most memory, by process."""
    statement_ms: float = 0.0
    """The longest time for which a statement of the purge was seen to run."""

    def metrics(self) -> dict[str, float]:
        found = {f"{name} p50": percentile(taken, 50) for name, taken in self.times_ms.items()}
        return {**found, **{f"{name} MiB": most for name, most in self.mib.items()}}


async def purge(servers: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """Purge the oldest tasks while lists are read and other tasks run.

    Raises `RuntimeError` if any count is not exact afterwards, or the purge has not reported its progress.
    """
    purged, kept = sizes.of(PURGED, 3000), sizes.of(KEPT, 500)
    async with serving(servers, workers=1) as (made, port):
        await fill(made.database, purged + kept)
        before, meanwhile = _Seen(), _Seen()
        async with _watched(made, port, before) as flowing:
            await asyncio.sleep(sizes.of(20, 2))
        ended = flowing.done
        async with _watched(made, port, meanwhile) as flowing, client(port) as asking:
            began_s = time.perf_counter()
            purge_id = await _submit(asking, await _acceptance_of(made, purged))
            told = await _ended(asking, purge_id, purged)
            took_s = time.perf_counter() - began_s
            longest_ms = meanwhile.statement_ms
        ended += flowing.done
        await _check(port, purged, kept, ended)
    if sizes.of(len(told), 3) < 3:
        raise RuntimeError(f"the purge has told only {told} of how far it was")
    ours = {"": purged / took_s, "statement of the purge, longest": longest_ms, **meanwhile.metrics()}
    return {OURS: ours, _BEFORE: before.metrics()}


async def _acceptance_of(made: Scene, number: int) -> str:
    """A time by which exactly this many tasks have ended."""
    rows = await made.execute(
        "select finished_at + interval '1 millisecond' from tasks order by accepted_at offset %s limit 1", number - 1
    )
    return str(rows[0][0].isoformat())


async def _submit(asking: Client, before: str) -> UUID:
    body = {"states": ["completed", "failed", "canceled"], "finished_before": before}
    status, answer = await asking.ask("POST", f"{_TASKS}purge/", msgspec.json.encode(body))
    if status != 202:
        raise RuntimeError(f"the purge was answered {status}: {answer.decode()}")
    return UUID(msgspec.json.decode(answer)["task"].rstrip("/").rsplit("/", 1)[-1])


async def _ended(asking: Client, purge_id: UUID, purged: int) -> set[int]:
    """Wait for the end of the purge; return the different numbers of remaining tasks that it has reported."""
    left: set[int] = set()
    async with asyncio.timeout(_LIMIT_S):
        while (task := await _get(asking, f"{_TASKS}{purge_id}/"))["state"] not in ("completed", "failed", "canceled"):
            left |= {report["items_left"] for report in task["progress"].values()}
            await asyncio.sleep(_PAUSE_S)
    done = {report["code"]: report["done"] for report in task["progress_reports"]}
    if (task["state"], done.get("purge.tasks.total")) != ("completed", purged):
        raise RuntimeError(f"the purge of {purged} tasks ended so: {task['state']}, {done}, {task['error']}")
    return left


async def _check(port: int, purged: int, kept: int, others: int) -> None:
    """Lists and their counts are exact: the purge is the only task besides the kept ones and the others."""
    async with client(port) as asking:
        for query, wanted in (("", kept + others + 1), ("&state=completed&name=purge-tasks", 1)):
            count = (await _get(asking, f"{_TASKS}?limit=1{query}"))["count"]
            if count != wanted:
                raise RuntimeError(f"{count} tasks are counted for {query!r} and not {wanted}")
        last = (await _get(asking, f"{_TASKS}?limit=1&offset={purged - 1}&purged=true"))["results"]
        behind = (await _get(asking, f"{_TASKS}?limit=1&offset={purged}&purged=true"))["results"]
        if (len(last), len(behind)) != (1, 0):
            raise RuntimeError(f"the list of purged tasks does not have {purged} of them")


@dataclass(slots=True)
class _Flow:
    """Ordinary tasks, one after another."""

    done: int = 0


@asynccontextmanager
async def _watched(made: Scene, port: int, seen: _Seen) -> AsyncIterator[_Flow]:
    """Read lists, run ordinary tasks, and watch processes and statements."""
    flow = _Flow()
    is_over = asyncio.Event()
    watching = [
        asyncio.create_task(each)
        for each in (
            _read_lists(port, seen, is_over),
            _run_tasks(port, seen, flow, is_over),
            _watch(made, seen, is_over),
        )
    ]
    try:
        yield flow
        is_over.set()
        await asyncio.gather(*watching)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


async def _read_lists(port: int, seen: _Seen, is_over: asyncio.Event) -> None:
    async with client(port) as asking:
        while not is_over.is_set():
            for name, query in _LISTS.items():
                began_s = time.perf_counter()
                await _get(asking, _TASKS + query)
                seen.times_ms[name].append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(_PAUSE_S)


async def _run_tasks(port: int, seen: _Seen, flow: _Flow, is_over: asyncio.Event) -> None:
    """Submit a task, wait for its end on the stream of events, and again."""
    async with client(port) as asking, client(port) as listening:
        await listening.open_stream("/pulp/api/v3/events/?type=finished")
        while not is_over.is_set():
            began_s = time.perf_counter()
            task_id = str(await post(asking)).encode()
            async with asyncio.timeout(LIMIT_S):
                while task_id not in await listening.next_line():
                    pass
            seen.times_ms["another task, submit to end"].append((time.perf_counter() - began_s) * 1000)
            flow.done += 1
            await asyncio.sleep(_PAUSE_S)


async def _watch(made: Scene, seen: _Seen, is_over: asyncio.Event) -> None:
    running = (
        "select extract(epoch from clock_timestamp() - query_start)::float8 from pg_stat_activity"
        " where datname = current_database() and state = 'active' and application_name like '%/purge'"
    )
    while not is_over.is_set():
        for process in made.running:
            seen.mib[process.name] = max(seen.mib[process.name], pss_mib(process.process.pid))
        for (seconds,) in await made.execute(running):
            seen.statement_ms = max(seen.statement_ms, seconds * 1000)
        await asyncio.sleep(_PAUSE_S)


async def _get(asking: Client, path: str) -> Any:
    status, body = await asking.ask("GET", path)
    if status != 200:
        raise RuntimeError(f"GET {path} was answered {status}: {body.decode()}")
    return msgspec.json.decode(body)


MEASURES = (
    Measure(
        name="purge",
        what=f"{PURGED:,} of {PURGED + KEPT:,} tasks purged while lists are read and tasks run; against before",
        unit="tasks/s",
        goal="",
        goals={
            "statement of the purge, longest": at_most(1000),
            "worker-0 MiB": ratio_at_most(1.5),
            "api MiB": ratio_at_most(1.5),
            "processor MiB": ratio_at_most(1.5),
            **{f"{name} p50": ratio_at_most(3) for name in _LISTS},
        },
        together=purge,
        rounds=1,
    ),
)
