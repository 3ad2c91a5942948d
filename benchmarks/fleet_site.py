"""An installation with a fleet of workers, and what its parts use."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psutil
from psycopg import AsyncConnection
from pulp_events.events import Resource
from pulp_events.log import KafkaLog
from pulp_projections.reading.positions import Positions

from benchmarks.load import accept
from benchmarks.scene import LIMIT_S, PARTITIONS, Process, Scene, Servers, following, scene

_OURS: Final = ("workers", "processor")
PARTS: Final = (*_OURS, "postgres")
_EVENTS_AFTER_ACCEPTED: Final = 2
"""The events of a task that does nothing: started and finished."""


@dataclass(slots=True)
class Fleet:
    """A scene with a processor and its workers."""

    made: Scene
    log: KafkaLog
    positions: Positions
    connection: AsyncConnection
    """For the benchmark's own questions: a new connection for each would count as work of Postgres."""
    postgres: psutil.Process | None
    accepted: int = 0
    """How many tasks were submitted."""

    async def accept(self, tasks: int, *resources: Resource, operation: str = "noop") -> list[UUID]:
        """Append this many `accepted`; returns the tasks' ids."""
        task_ids = await accept(self.log, PARTITIONS, tasks, *resources, operation=operation)
        self.accepted += tasks
        return task_ids

    async def ended(self) -> int:
        """How many tasks have ended, by the length of the log; a running one counts as half."""
        ends = await self.log.end_offsets()
        return (sum(ends.values()) - self.accepted) // _EVENTS_AFTER_ACCEPTED

    async def finished(self, operation: str) -> int:
        """How many tasks of an operation have ended in the read model."""
        cursor = await self.connection.execute("select count(finished_at) from tasks where operation = %s", [operation])
        rows = await cursor.fetchall()
        return int(rows[0][0])

    async def until_all_ended(self) -> None:
        """Returns when every submitted task has ended, and the read model shows it."""
        async with asyncio.timeout(LIMIT_S):
            while await self.ended() < self.accepted:  # noqa: ASYNC110  # offsets
                await asyncio.sleep(0.1)
        await self.positions.reach(await self.log.end_offsets(), LIMIT_S)

    def cpu_s(self) -> dict[str, float]:
        """Processor time that each part has used."""
        found = {part: sum(each.cpu_s() for each in self._processes(part)) for part in _OURS}
        return {**found, "postgres": 0.0 if self.postgres is None else _server_s(self.postgres)}

    def mib(self) -> dict[str, float]:
        """The memory of each part: its proportional set size. For Postgres 0 if it may not be read."""
        found = {part: _pss_mib(each.process.pid for each in self._processes(part)) for part in _OURS}
        return {**found, "postgres": 0.0 if self.postgres is None else _pss_mib([self.postgres.pid])}

    def _processes(self, part: str) -> Iterable[Process]:
        return (each for each in self.made.running if each.name.startswith("worker") == (part == "workers"))

    async def connections(self) -> int:
        """How many connections to Postgres the workers have."""
        cursor = await self.connection.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and application_name like 'pulp-worker%'"
        )
        rows = await cursor.fetchall()
        return int(rows[0][0])

    async def waits_ms(self, task_ids: Sequence[UUID]) -> list[float]:
        """From each task's acceptance to its start, by the broker's clock; until now if it has not started."""
        await self.positions.reach(await self.log.end_offsets(), LIMIT_S)  # a task not projected yet would be missing
        cursor = await self.connection.execute(
            "select 1000 * extract(epoch from coalesce(started_at, clock_timestamp()) - accepted_at)"
            " from tasks where task_id = any(%s)",
            [list(task_ids)],
        )
        return [float(wait_ms) for (wait_ms,) in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Used:
    """What a stretch of time has taken."""

    seconds: float
    parts: Mapping[str, float]
    """Processor time in seconds."""

    @property
    def cpu_s(self) -> float:
        """Processor time of all parts."""
        return sum(self.parts.values())

    def without(self, rest: "Used") -> "Used":
        """The usage without what idle parts use."""
        idle = {part: used_s / rest.seconds * self.seconds for part, used_s in rest.parts.items()}
        return Used(self.seconds, {part: max(0.0, used_s - idle[part]) for part, used_s in self.parts.items()})

    def ms_a_task(self, tasks: int) -> dict[str, float]:
        """A metric for all parts together, and one for each."""
        each = {f"{part} cpu a task": 1000 * used_s / tasks for part, used_s in self.parts.items()}
        return {"cpu a task": 1000 * self.cpu_s / tasks, **each}

    def percent(self) -> dict[str, float]:
        """The same in hundredths of a core."""
        each = {f"{part} idle, % of a core": 100 * used_s / self.seconds for part, used_s in self.parts.items()}
        return {"idle, % of a core": 100 * self.cpu_s / self.seconds, **each}


class Stretch:
    """Measures what the parts use, from its construction on."""

    def __init__(self, site: Fleet) -> None:
        self._site = site
        self._before, self._began_s = site.cpu_s(), time.perf_counter()

    def used(self) -> Used:
        """Until now."""
        now, seconds = self._site.cpu_s(), time.perf_counter() - self._began_s
        return Used(seconds, {part: max(0.0, now[part] - self._before[part]) for part in now})


async def using(site: Fleet, work: Awaitable[None]) -> Used:
    """What the parts use while the work is done."""
    stretch = Stretch(site)
    await work
    return stretch.used()


@asynccontextmanager
async def fleet(servers: Servers, workers: int, slots: int) -> AsyncIterator[Fleet]:
    """This many workers, all online, with this many slots each."""
    async with scene(servers) as made:
        log = KafkaLog(servers.kafka, made.topics.events, PARTITIONS)
        await log.start()
        try:
            await made.start("processor", "processor")
            await start_workers(made, workers, slots)
            async with (
                following(made.database) as positions,
                await AsyncConnection.connect(made.database, autocommit=True) as connection,
            ):
                yield Fleet(made, log, positions, connection, _server_of(connection.info.backend_pid))
        finally:
            await log.close()


async def start_workers(made: Scene, workers: int, slots: int) -> float:
    """Start them all at once; the seconds until all are online."""
    began_s = time.perf_counter()
    for number in range(workers):
        await made.start(f"worker-{number}", "worker", PULP_WORKER_CONCURRENCY=str(slots))
    async with asyncio.timeout(LIMIT_S), await AsyncConnection.connect(made.database, autocommit=True) as connection:
        while True:
            cursor = await connection.execute("select count(*) from workers")
            if await cursor.fetchone() == (workers,):
                return time.perf_counter() - began_s
            await asyncio.sleep(0.05)


def _server_of(backend: int) -> psutil.Process | None:
    """The Postgres that a backend belongs to; None if it cannot be found out.

    A server in a container counts its processes otherwise: then the only one of the machine.
    """
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(backend).parent()
        if server is not None and server.name() == "postgres":
            return server
    servers = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "postgres"]
    roots = [each for each in servers if each.ppid() not in {other.pid for other in servers}]
    return roots[0] if len(roots) == 1 else None


def _server_s(server: psutil.Process) -> float:
    """Processor time of a Postgres, with the backends that have ended."""
    own = server.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in server.children():
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return float(total)


def _pss_mib(pids: Iterable[int]) -> float:
    """The memory of processes and their children."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it may end meanwhile
                    total += each.memory_full_info().pss
    return total / 2**20
