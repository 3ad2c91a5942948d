"""One schedule of several workers and dispatchers, generated from a seed: the product's worker, dispatcher, reactor,
fold and decisions, on a simulated loop. Simulated are clock, network, tables, log, and the order of turns. Until
`CALM_S` anything may be slow, lost, cut off, stopped, killed or cancelled; then everything must finish by itself.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final, Self

import psycopg
import pytest
from pulp_events.errors import LogError
from pulp_events.memory import MemoryLog
from pulp_events.topics import Topics
from pulp_processor.dispatching.dispatcher import Dispatcher
from pulp_processor.dispatching.fleet import Profile
from pulp_processor.reacting.reactor import Reactor
from pulp_projections.channels import POSITIONS, told_to_worker, worker_channel
from pulp_worker.lease import Lease
from pulp_worker.settings import Settings
from pulp_worker.worker import Worker

from tests.model.clients import Clients
from tests.model.dispatch_witness import DispatchWitness
from tests.model.dispatcher_parts import dispatcher_parts
from tests.model.doors import Call, Doors, SimulatedView
from tests.model.loop import SimulatedLoop
from tests.model.memory_dispatch import GENERATION, MemoryDispatch
from tests.model.memory_read_model import MemoryProjector, MemoryReadModel
from tests.model.memory_tables import MemoryTables
from tests.model.network import Network, SimulatedLog, context_of
from tests.model.operating import OPERATIONS, Operations, short
from tests.model.witness import Witness
from tests.model.worker_parts import worker_parts
from tests.support.records import NOON_MS

PARTITIONS: Final = 2
LEASE_S: Final = 6.0
MARGIN_S: Final = 2.0
CALM_S: Final = 20.0
LIMIT_S: Final = 60.0
"""How long after the last fault everything must have ended, in the schedule's time."""
PROFILE: Final = Profile(frozenset({"default"}), frozenset(OPERATIONS))
"""What every worker serves."""
UNSERVED_S: Final = 5.0
_DEAD_S: Final = 10_000.0


class Simulation:
    """One schedule. `run` raises `Breach` or the error that broke it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.loop = SimulatedLoop(self.random, CALM_S + LIMIT_S)
        self.log = MemoryLog(PARTITIONS, lambda: NOON_MS + int(self.loop.time() * 1000))
        self.model = MemoryReadModel(dict.fromkeys(range(PARTITIONS), 0))
        self.network = Network(self.loop, self.random)
        tables = MemoryTables(self.model)
        self.dispatch_witness = DispatchWitness(tables, PROFILE)
        self.doors = Doors(self.network, tables, MemoryDispatch(tables, PROFILE), self.dispatch_witness)
        self.witness = Witness(self.loop, self.log, self._lease_of, self.dispatch_witness.before.__getitem__)
        self.operations = Operations(self.network, self.model, self.witness, self.tell)
        self.workers: dict[str, Worker] = {}
        self.told: list[str] = []
        """The events of the schedule, for readers of a failure."""
        self._stopping: dict[str, asyncio.Event] = {}
        """The workers."""
        self._dispatchers: dict[str, asyncio.Task[None]] = {}
        """Those that are alive."""
        self._processes: list[asyncio.Task[Any]] = []
        self._is_over = False

    @property
    def digest(self) -> str:
        """A digest, equal for equal schedules."""
        return hashlib.sha256("\n".join(self.told).encode()).hexdigest()

    def run(self) -> Self:
        """Run the whole schedule."""
        with worker_parts(self.doors), dispatcher_parts(self.doors):
            try:
                self.loop.run_until_complete(self._happen())
                self.witness.judge(self.model, self.doors.tables)
            finally:
                self._clean_up()
        return self

    def tell(self, text: str) -> None:
        """Record a line of the schedule."""
        if not self._is_over:
            self.told.append(f"{self.loop.time():8.3f} {text}")

    # The parts.

    def start(self, process: str, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine as a process of its own."""
        task = self.loop.create_task(work, context=context_of(process), name=process)
        self._processes.append(task)
        return task

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
        log = SimulatedLog(self.network, self.log)
        stopping = self._stopping[name] = asyncio.Event()
        while True:
            made = self.workers[name] = Worker(settings, self.operations.loaded(), log=log)
            with contextlib.suppress(psycopg.Error):
                await made.start()
                break
        self.tell(f"{name} is up")
        await made.run(stopping, asyncio.Event())
        self.tell(f"{name} has drained")

    async def reactor(self, name: str) -> None:
        """A reactor of all partitions, without end."""
        log = SimulatedLog(self.network, self.log)
        view = SimulatedView(self.doors)
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
            await asyncio.sleep(self.random.uniform(0.2, 1.5))

    async def dispatcher(self) -> None:
        """A dispatcher that waits to be elected, dispatches, and resigns when it is cancelled."""
        log = SimulatedLog(self.network, self.log)
        await Dispatcher(log, "", quotas={}, unserved_s=UNSERVED_S, clock_s=self.loop.time).run()

    async def projector(self) -> None:
        """Project what arrives, and notify readers and the workers concerned."""
        projectors = [MemoryProjector(self.model, partition) for partition in range(PARTITIONS)]
        while True:
            for partition, projector in enumerate(projectors):
                records = self.log.records[partition][projector.next_offset :]
                if records:
                    batch = records[: self.random.randint(1, 10)]
                    await projector.project(batch)
                    self.doors.trace.append(Call(self.loop.time(), "project", (partition, batch), None))
                    move = f"{GENERATION} {partition} {projector.next_offset}"
                    self.doors.notifications.send(POSITIONS, move)
                    for worker, is_news in sorted(projector.concerned.items()):
                        told = told_to_worker(move, is_news=is_news)
                        self.doors.notifications.send(worker_channel(worker), told)
            await asyncio.sleep(max(0.1, self.network.delay_s()))

    async def chaos(self) -> None:
        """Stop processes, or cut them from Postgres; kill workers and dispatchers, or end them in good order."""
        others = ("reactor-1", "reactor-2", "projector")
        while self.loop.time() < CALM_S:
            await asyncio.sleep(self.random.uniform(0.2, 6.0))
            name = self.random.choice([*self._stopping, *self._dispatchers, *others])
            match self.random.choice(["stop"] * 5 + ["cut", "cut", "kill", "end"]):
                case "stop":
                    seconds = self.random.choice([0.3, 2.0, 3.9, 4.1, 7.0, 9.0, 12.0])
                    self.tell(f"{name} is stopped for {seconds} s")
                    self.loop.stop_process(name, seconds)
                case "cut" if name != "projector":
                    seconds = self.random.choice([0.3, 3.0, 5.0, 9.0])
                    self.tell(f"{name} is cut from Postgres for {seconds} s")
                    self.network.cut(name, seconds)
                case "kill" if name in self._stopping or name in self._dispatchers:
                    self.tell(f"{name} is killed")
                    self.loop.stop_process(name, _DEAD_S)
                    if self._dispatchers.pop(name, None):
                        self._start_dispatcher()
                case "end" if name in self._stopping:
                    self.tell(f"{name} is to drain")
                    self._stopping[name].set()
                case "end" if name in self._dispatchers:
                    self.tell(f"{name} is to resign")
                    self._dispatchers.pop(name).cancel()
                    self._start_dispatcher()

    def _start_dispatcher(self) -> None:
        name = f"dispatcher-{self.loop.next_serial()}"
        self._dispatchers[name] = self.start(name, self.dispatcher())

    async def _happen(self) -> None:
        self.start("projector", self.projector())
        for name in ("reactor-1", "reactor-2"):
            self.start(name, self.reactor(name))
        for _ in range(self.random.randint(1, 3)):
            self._start_dispatcher()
        workers = self.random.choice([0, 2, 2, 3, 3, 4, 4])  # without any, nobody could run what waits until it is calm
        for number in range(workers):
            self.start(f"w{number}", self.worker(f"w{number}"))
        clients = Clients(
            self.network,
            SimulatedLog(self.network, self.log),
            self.tell,
            partitions=PARTITIONS,
            within_s=CALM_S / 2 if workers else CALM_S + 1,
        )
        for number in range(self.random.randint(4, 14)):
            self.start(f"client-{number}", clients.submit(number))
        await asyncio.sleep(0.01)
        await self._watch(self.chaos())
        self.network.is_calm = True
        self.tell("calm")
        self.start("last", self.worker("last"))
        await self._watch(self._until_quiet())

    async def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Await, unless a process breaks meanwhile."""
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
        """Wait until every accepted task is final and every claim is released."""
        while self.witness.unfinished(self.model, self.doors.tables) or self._clients():
            if not any(map(self.loop.is_stopped, self._alive())):
                self.dispatch_witness.check_idleness(self.loop.time())
            await asyncio.sleep(0.5)

    def _clients(self) -> bool:
        return any(task.get_name().startswith("client") and not task.done() for task in self._processes)

    def _alive(self) -> list[str]:
        return ["projector", *self._dispatchers]

    def _lease_of(self, process: str) -> Lease:
        return self.workers[process]._lease

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
                task.exception()  # a breach was recorded already


def simulate(seed: int) -> Simulation:
    """Run the schedule of this seed. An error is raised with the seed and all events."""
    simulation = Simulation(seed)
    try:
        return simulation.run()
    except (Exception, pytest.fail.Exception) as error:
        told = "\n".join([*simulation.told, *simulation.witness.unfinished(simulation.model, simulation.doors.tables)])
        raise AssertionError(f"seed {seed}: {error}\n{told}") from error
