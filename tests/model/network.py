"""What lies between the processes of a schedule: calls that are slow, lost, or answered to a process that is stopped."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from pulp_events.errors import AppendOutcomeUnknown
from pulp_events.events import Event
from pulp_events.memory import MemoryLog
from pulp_events.task import Position
from pulp_processor.reacting.view import Seen
from pulp_worker.claims import Claim, LetGo, Parted, Standing
from pulp_worker.registration import Holder, NameInUse
from pulp_worker.sdk import Operation

from tests.model.loop import PROCESS, SimulatedLoop
from tests.model.memory_tables import TIMELINE, MemoryTables

_T = TypeVar("_T")
_PAUSES_S = (0.01, 0.5, 3.0, 5.9, 6.1, 7.9, 8.1, 9.0, 15.0)
"""Around the lease (6 s), and the lease with its margin (8 s)."""


class Network:
    """Every call goes through it. Once `is_calm`, nothing is lost, nobody is stopped, and answers come soon."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop = loop
        self.random = random
        self.is_calm = False
        self.servers = context_of("servers")
        self._last_s: dict[tuple[str, str], float] = {}

    async def call(self, act: Callable[[], _T], way: str, lost: Callable[[], Exception]) -> _T:
        """What the server answers; calls of one process on one way are served in order. Or it may be `lost`."""
        await self._may_stop()
        answer: asyncio.Future[_T] = self.loop.create_future()
        fate = "" if self.is_calm else self.random.choice([""] * 30 + ["request", "answer"])

        def tell(result: _T | None, error: Exception | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # there is one, or an error

        def serve() -> None:
            result, error = None, None
            if fate != "request":
                try:
                    result = act()
                except Exception as raised:  # it is the caller's
                    error = raised
            if fate:
                error = lost()
            self.loop.call_later(self.delay_s(), tell, result, error, context=self.servers)

        self.loop.call_at(self.in_order_s(PROCESS.get(), way), serve, context=self.servers)
        answered = await answer
        await self._may_stop()
        return answered

    def in_order_s(self, process: str, way: str) -> float:
        """When what is sent now arrives: not before what was sent earlier."""
        arrives_s = max(self._last_s.get((process, way), 0), self.loop.time() + self.delay_s())
        self._last_s[process, way] = arrives_s
        return arrives_s

    def delay_s(self) -> float:
        """Mostly short."""
        if self.is_calm:
            return 0.001
        return self.random.choice(
            [0.001, 0.001, 0.002, 0.005, 0.02, 0.3, *([4.0] if self.random.random() < 0.1 else [])]
        )

    async def _may_stop(self) -> None:
        if not self.is_calm and PROCESS.get() != "world" and self.random.random() < 0.02:
            self.loop.stop_process(PROCESS.get(), self.random.choice(_PAUSES_S))
            await asyncio.sleep(0)


def context_of(process: str) -> Context:
    """What is called in it belongs to the process."""
    context = copy_context()
    context.run(PROCESS.set, process)
    return context


def _away() -> psycopg.OperationalError:
    return psycopg.OperationalError("the connection broke")


class SimulatedLog:
    """A `Log`; what one process appends to a partition keeps its order."""

    def __init__(self, network: Network, log: MemoryLog) -> None:
        self._network = network
        self._log = log

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        return await self._network.call(
            lambda: self._log.put(event, partition), f"partition {partition}", lambda: AppendOutcomeUnknown("no answer")
        )

    async def end_offsets(self) -> dict[int, int]:
        """See `Log.end_offsets`."""
        return {partition: len(records) for partition, records in enumerate(self._log.records)}


class Doors:
    """The tables, reached over the network. `trace` keeps what was done there, in order, and what came of it."""

    def __init__(self, network: Network, tables: MemoryTables) -> None:
        self.network = network
        self.tables = tables
        self.trace: list[tuple[float, str, tuple[Any, ...], Any]] = []
        self.wake_workers: Callable[[], None] = lambda: None

    async def call(self, name: str, *arguments: Any) -> Any:
        """Do it there; raises `psycopg.OperationalError` where it is lost."""

        def act() -> Any:
            now_s = self.network.loop.time()
            result = getattr(self, f"_{name}")(now_s, *arguments)
            self.trace.append((now_s, name, arguments, result))
            return result

        return await self.network.call(act, "postgres", _away)

    def new_id(self) -> UUID:
        """As random as the seed."""
        return UUID(int=self.network.random.getrandbits(128), version=4)

    def _register(
        self, now_s: float, name: str, instance_id: UUID, previous: UUID | None, lease_s: float
    ) -> str | None:
        return self.tables.register(now_s, name, instance_id, previous, lease_s)

    def _heartbeat(self, now_s: float, name: str, instance_id: UUID) -> str | None:
        return self.tables.heartbeat(now_s, name, instance_id)

    def _unregister(self, _: float, name: str, instance_id: UUID) -> None:
        self.tables.unregister(name, instance_id)

    def _claim(
        self, now_s: float, worker: str, instance_id: UUID, operations: Sequence[str], most: int, ids: Iterable[UUID]
    ) -> list[list[Claim]]:
        return self.tables.claim(now_s, worker, instance_id, operations, most, ids)

    def _standings(self, _: float, claims: Sequence[Claim]) -> list[Standing | None]:
        return self.tables.standings(claims)

    def _let_go(self, _: float, parting: Sequence[LetGo]) -> Parted:
        self.wake_workers()
        return self.tables.let_go(parting)

    def _settle(self, _: float, worker: str, instance_id: UUID, held: Sequence[Claim], ends: Mapping[int, int]) -> bool:
        self.wake_workers()
        return self.tables.settle(worker, instance_id, held, ends)

    def _situations(self, now_s: float, known: Mapping[str, Any]) -> list[Seen]:
        return self.tables.situations(now_s, known)

    def _sweep(self, now_s: float, known: Mapping[str, Any]) -> bool:
        is_news = self.tables.sweep(now_s, known)
        if is_news:
            self.wake_workers()
        return is_news


class SimulatedView:
    """The reactor's `View`."""

    def __init__(self, doors: Doors, positions: Callable[[], dict[int, int]]) -> None:
        self._doors = doors
        self._positions = positions

    async def standing(self) -> tuple[str, dict[int, int]]:
        """See `View.standing`."""
        return TIMELINE, self._positions()

    async def situations(self, known: Mapping[str, object]) -> list[Seen]:
        """See `View.situations`."""
        found: list[Seen] = await self._doors.call("situations", known)
        return found

    async def sweep(self, known: Mapping[str, object]) -> None:
        """See `View.sweep`."""
        await self._doors.call("sweep", known)


class SimulatedClaims:
    """`Claims` of one worker."""

    def __init__(self, doors: Doors, worker: str) -> None:
        self._doors = doors
        self._worker = worker

    async def close(self) -> None:
        """See `Claims.close`."""

    async def claim(self, operations: Sequence[str], most: int, instance_id: UUID) -> list[list[Claim]]:
        """See `Claims.claim`."""
        ids = iter(self._doors.new_id, None)
        chains: list[list[Claim]] = await self._doors.call("claim", self._worker, instance_id, operations, most, ids)
        return chains

    async def standings(self, claims: Sequence[Claim]) -> list[Standing | None]:
        """See `Claims.standings`."""
        found: list[Standing | None] = await self._doors.call("standings", claims)
        return found

    async def let_go(self, parting: Sequence[LetGo]) -> Parted:
        """See `Claims.let_go`."""
        parted: Parted = await self._doors.call("let_go", parting)
        return parted

    async def settle(self, held: Sequence[Claim], instance_id: UUID, ends: Mapping[int, int]) -> bool:
        """See `Claims.settle`."""
        is_settled: bool = await self._doors.call("settle", self._worker, instance_id, list(held), dict(ends))
        return is_settled


class SimulatedRegistration:
    """`Registration` of one process."""

    def __init__(self, doors: Doors, name: str, lease_s: float) -> None:
        self.instance_id = doors.new_id()
        self._doors = doors
        self._name = name
        self._lease_s = lease_s
        self._previous: UUID | None = None

    async def register(self, _: Sequence[Operation]) -> str:
        """See `Registration.register`."""
        timeline = await self._doors.call("register", self._name, self.instance_id, self._previous, self._lease_s)
        if timeline is None:
            holder = self._doors.tables.workers[self._name]
            heard = datetime.fromtimestamp(holder.heartbeat_at_s, UTC)
            raise NameInUse(self._name, Holder("here", 1, holder.instance_id, heard, holder.lease_s))
        return str(timeline)

    def become_another(self) -> None:
        """See `Registration.become_another`."""
        self._previous, self.instance_id = self.instance_id, self._doors.new_id()

    async def settle(self) -> None:
        """All workers of a schedule declare the same."""

    async def heartbeat(self) -> str | None:
        """See `Registration.heartbeat`."""
        timeline: str | None = await self._doors.call("heartbeat", self._name, self.instance_id)
        return timeline

    async def unregister(self) -> None:
        """See `Registration.unregister`."""
        await self._doors.call("unregister", self._name, self.instance_id)

    async def close(self) -> None:
        """See `Registration.close`."""
