"""One schedule of several workers, made by a seed: the product's worker, reactor, fold and decisions, on a loop of its own.

What is invented is what lies between them: the clock, the network, the tables and the log, and when who gets a turn. Until
`CALM_S` anything is slow, lost, stopped, killed or cancelled; then everything must come to its end by itself.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final, Self
from uuid import UUID

import msgspec
import psycopg
import pytest
from msgspec import Raw
from pulp_events.errors import LogError
from pulp_events.events import Access, Event, Resource
from pulp_events.memory import MemoryLog
from pulp_events.topics import Topics
from pulp_processor.reacting.reactor import Reactor
from pulp_worker.lease import Lease
from pulp_worker.settings import Settings
from pulp_worker.worker import Worker

from tests.model.loop import SimulatedLoop
from tests.model.memory_read_model import MemoryProjector, MemoryReadModel
from tests.model.memory_tables import MemoryTables
from tests.model.network import (
    Doors,
    Network,
    SimulatedLog,
    SimulatedView,
    context_of,
)
from tests.model.operating import Operations, short
from tests.model.witness import Witness
from tests.model.worker_parts import SimulatedPositions, worker_parts
from tests.support.events import accepted, cancel_requested
from tests.support.records import NOON_MS

PARTITIONS: Final = 2
LEASE_S: Final = 6.0
MARGIN_S: Final = 2.0
CALM_S: Final = 20.0
LIMIT_S: Final = 60.0
"""After the last fault everything must have ended within so long, of the schedule's time."""
_DEAD_S: Final = 10_000.0


class Simulation:
    """One schedule. `run` raises `Breach`, or whatever broke."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.loop = SimulatedLoop(self.random, CALM_S + LIMIT_S)
        self.log = MemoryLog(PARTITIONS, lambda: NOON_MS + int(self.loop.time() * 1000))
        self.model = MemoryReadModel(dict.fromkeys(range(PARTITIONS), 0))
        self.network = Network(self.loop, self.random)
        self.doors = Doors(self.network, MemoryTables(self.model))
        self.doors.wake_workers = self._wake_workers
        self.witness = Witness(self.loop, self.log, self._lease_of)
        self.operations = Operations(self.network, self.model, self.witness, self.tell)
        self.workers: dict[str, Worker] = {}
        self.told: list[str] = []
        """What happened, for whoever reads a failure."""
        self._positions: dict[str, SimulatedPositions] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._stopping: dict[str, asyncio.Event] = {}
        self._dead: set[str] = set()
        self._processes: list[asyncio.Task[Any]] = []
        self._is_over = False

    @property
    def digest(self) -> str:
        """Equal for equal schedules."""
        return hashlib.sha256("\n".join(self.told).encode()).hexdigest()

    def run(self) -> Self:
        """The whole schedule."""
        with worker_parts(self.doors, self._wakes):
            try:
                self.loop.run_until_complete(self._happen())
                self.witness.judge(self.model, self.doors.tables)
            finally:
                self._clean_up()
        return self

    def tell(self, text: str) -> None:
        """One line of the schedule."""
        if not self._is_over:
            self.told.append(f"{self.loop.time():8.3f} {text}")

    # The parts.

    def start(self, process: str, work: Coroutine[Any, Any, Any]) -> None:
        """Run it as a process of its own."""
        self._processes.append(self.loop.create_task(work, context=context_of(process), name=process))

    async def worker(self, name: str) -> None:
        """A worker's process, from start to end."""
        settings = Settings(
            kafka="",
            postgres="",
            topics=Topics.named("t"),
            storage=Path(),
            name=name,
            lease_s=LEASE_S,
            grace_s=2.0,
            concurrency=self.random.randint(1, 3),
        )
        positions = self._positions[name] = SimulatedPositions("")
        self._wakes[name], stopping = asyncio.Event(), asyncio.Event()
        self._stopping[name] = stopping
        made = Worker(settings, self.operations.loaded(), log=SimulatedLog(self.network, self.log), positions=positions)
        self.workers[name] = made
        while True:
            try:
                await made.start()
            except psycopg.Error:
                made = self.workers[name] = Worker(
                    settings, self.operations.loaded(), log=SimulatedLog(self.network, self.log), positions=positions
                )
            else:
                break
        self.tell(f"{name} is up")
        await made.run(stopping, asyncio.Event())
        self.tell(f"{name} has drained")

    async def reactor(self, name: str) -> None:
        """A reactor of all partitions, for ever."""
        log = SimulatedLog(self.network, self.log)
        view = SimulatedView(self.doors, lambda: dict(self.model.positions))
        made = Reactor(
            log,
            "",
            lambda: set(range(PARTITIONS)),
            **{"cancel_grace_s": 5.0, "lease_margin_s": MARGIN_S, "lease_s": LEASE_S, "clock_s": self.loop.time},  # type: ignore[arg-type]
        )
        while True:
            with contextlib.suppress(LogError, psycopg.Error):
                for event in await made.react(view):
                    self.tell(f"{name} ends {short(event.task_id)}")
            await asyncio.sleep(self.random.uniform(0.1, 1.0))

    async def projector(self) -> None:
        """Writes what arrives, and tells it."""
        projectors = [MemoryProjector(self.model, partition) for partition in range(PARTITIONS)]
        while True:
            for partition, projector in enumerate(projectors):
                records = self.log.records[partition][projector.next_offset :]
                if records:
                    batch = records[: self.random.randint(1, 10)]
                    await projector.project(batch)
                    self.doors.trace.append((self.loop.time(), "project", (partition, batch), None))
                    self._wake_workers()
                    for name, positions in self._positions.items():
                        when_s = self.network.in_order_s(name, "notice")
                        told = dict(self.model.positions)
                        self.loop.call_at(when_s, self._tell_positions, positions, told, context=context_of(name))
            await asyncio.sleep(max(0.05, self.network.delay_s()))

    async def client(self, number: int) -> None:
        """Submits a task, and perhaps cancels it."""
        random = self.random
        await asyncio.sleep(random.uniform(0, CALM_S / 2))
        task_id = UUID(int=(random.getrandbits(64) << 64) | number, version=4)
        partition = random.randrange(PARTITIONS)
        arguments = {"steps": random.randint(0, 4), "seconds": random.choice([0.01, 0.3, 2.0])}
        uses = random.sample(["a", "b", "c"], random.choice([0, 1, 1, 1, 2]))
        modes = random.choice([Access.EXCLUSIVE, Access.EXCLUSIVE, Access.SHARED])
        await self._append(
            accepted(
                task_id,
                operation=random.choice(["gentle", "deaf", "firm"]),
                resources=tuple(Resource(type="r", id=use, access=modes) for use in uses),
                arguments=Raw(msgspec.json.encode(arguments)),
                priority=random.choice([0, 0, 5]),
                timeout_seconds=random.choice([None, None, 5]),
            ),
            partition,
        )
        self.tell(f"{short(task_id)} is accepted: {arguments} on {uses} {modes}")
        if random.random() < 0.4:
            await asyncio.sleep(random.choice([0.0, 0.05, 0.5, 3.0, 10.0]))
            self.tell(f"{short(task_id)} is to stop")
            await self._append(cancel_requested(task_id), partition)

    async def chaos(self) -> None:
        """Stops, kills and drains workers, and stops reactors."""
        names = list(self._wakes) or ["w1"]
        while self.loop.time() < CALM_S:
            await asyncio.sleep(self.random.uniform(0.2, 6.0))
            name = self.random.choice([*names, "reactor-1", "reactor-2", "projector"])
            match self.random.choice(["stop"] * 6 + ["kill", "drain"]):
                case "stop":
                    seconds = self.random.choice([0.3, 2.0, 7.0, 9.0, 12.0])
                    self.tell(f"{name} is stopped for {seconds} s")
                    self.loop.stop_process(name, seconds)
                case "kill" if name in self._wakes:
                    self.tell(f"{name} is killed")
                    self._dead.add(name)
                    self.loop.stop_process(name, _DEAD_S)
                case "drain" if name in self._stopping:
                    self.tell(f"{name} is to drain")
                    self._stopping[name].set()

    async def _append(self, event: Event, partition: int) -> None:
        log = SimulatedLog(self.network, self.log)
        while True:
            with contextlib.suppress(LogError):
                await log.append(event, partition)
                return

    async def _happen(self) -> None:
        self.start("projector", self.projector())
        for name in ("reactor-1", "reactor-2"):
            self.start(name, self.reactor(name))
        for number in range(self.random.randint(2, 4)):
            self.start(f"w{number}", self.worker(f"w{number}"))
        clients = [self.client(number) for number in range(self.random.randint(3, 12))]
        for number, client in enumerate(clients):
            self.start(f"client-{number}", client)
        await asyncio.sleep(0.01)
        await self._watch(self.chaos())
        self.network.is_calm = True
        self.tell("calm")
        self.start("last", self.worker("last"))
        await self._watch(self._until_quiet())

    async def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, unless a process breaks meanwhile."""
        task = asyncio.create_task(work)
        while not task.done():
            await asyncio.wait([task], timeout=0.5)
            for breach in self.operations.breaches:
                task.cancel()
                raise breach
            for process in self._processes:
                if process.done() and not process.cancelled() and process.exception() is not None:
                    task.cancel()
                    raise process.exception() or AssertionError
        task.result()

    async def _until_quiet(self) -> None:
        """Everything that was accepted is final, and nobody holds anything."""
        while self.witness.unfinished(self.model, self.doors.tables) or self._clients():  # noqa: ASYNC110  # it is many things at once that are looked at
            await asyncio.sleep(0.5)

    def _clients(self) -> bool:
        return any(task.get_name().startswith("client") and not task.done() for task in self._processes)

    def _lease_of(self, process: str) -> Lease:
        return self.workers[process]._lease

    def _tell_positions(self, to: SimulatedPositions, told: dict[int, int]) -> None:
        if not self._is_over:
            self.loop.create_task(to.hear(told))

    def _wake_workers(self) -> None:
        for name, event in self._wakes.items():
            self.loop.call_at(self.network.in_order_s("servers", name), event.set, context=context_of(name))

    def _clean_up(self) -> None:
        self._is_over = self.network.is_calm = True
        self.loop.wake_all()
        self.loop.end_at(self.loop.time() + 1000)
        self.loop.run_until_complete(_cancel_all())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


async def _cancel_all() -> None:
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in sorted(tasks, key=hash):
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # it has been seen, if it is one


def simulate(seed: int) -> Simulation:
    """The schedule of this seed, done. What it breaks is raised with the seed and all that has happened."""
    simulation = Simulation(seed)
    try:
        return simulation.run()
    except (Exception, pytest.fail.Exception) as error:
        told = "\n".join([*simulation.told, *simulation.witness.unfinished(simulation.model, simulation.doors.tables)])
        raise AssertionError(f"seed {seed}: {error}\n{told}") from error
