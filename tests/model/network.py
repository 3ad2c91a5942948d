"""The network between the processes of a schedule: calls are slow or lost, and responses and notifications may reach a
stopped process."""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from random import Random
from typing import TypeVar

import psycopg
from pulp_events.errors import AppendOutcomeUnknown
from pulp_events.events import Event
from pulp_events.memory import MemoryLog
from pulp_events.task import Position

from tests.model.loop import PROCESS, SimulatedLoop

_T = TypeVar("_T")
_PAUSES_S = (0.01, 0.5, 3.0, 3.9, 4.1, 5.9, 6.1, 7.9, 8.1, 9.0, 15.0)
"""Delays around the dispatcher's lease (4 s), a worker's lease (6 s), and the latter plus its margin (8 s)."""


class Network:
    """Every call passes through it. Once `is_calm`, nothing is lost or stopped, and responses are quick."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop = loop
        self.random = random
        self.is_calm = False
        self.servers = context_of("servers")
        self._last_s: dict[tuple[str, str], float] = {}
        self._cut_until_s: dict[str, float] = {}
        self._steady: dict[str, bool] = {}
        """Processes whose calls are lost, or that stop, only if something is done to them."""

    async def call(self, act: Callable[[], _T], way: str, lost: Callable[[], Exception]) -> _T:
        """Call the server and return its response; calls of one process on one connection are served in order. `lost`
        calls raise."""
        await self._may_stop()
        process = PROCESS.get()
        answer: asyncio.Future[_T] = self.loop.create_future()
        fate = self.random.choice([""] * 30 + ["request", "answer"]) if self._is_shaky() else ""

        def tell(result: _T | None, error: Exception | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # there is one, or an error

        def serve() -> None:
            result, error = None, None
            is_cut = way.startswith("postgres") and self.is_cut(process)
            if fate != "request" and not is_cut:
                try:
                    result = act()
                except Exception as raised:  # it belongs to the caller
                    error = raised
            if fate or is_cut:
                error = lost()
            self.loop.call_later(self.delay_s(), tell, result, error, context=self.servers)

        self.loop.call_at(self.in_order_s(process, way), serve, context=self.servers)
        answered = await answer
        await self._may_stop()
        return answered

    def cut(self, process: str, seconds: float) -> None:
        """Cut a process off from Postgres for this long: its calls are lost, and nobody notifies it."""
        self._cut_until_s[process] = self.loop.time() + seconds

    def is_cut(self, process: str) -> bool:
        """Whether a process is cut from Postgres now."""
        return not self.is_calm and self._cut_until_s.get(process, 0) > self.loop.time()

    def in_order_s(self, process: str, way: str) -> float:
        """The arrival time of a message sent now, never before earlier ones."""
        arrives_s = max(self._last_s.get((process, way), 0), self.loop.time() + self.delay_s())
        self._last_s[process, way] = arrives_s
        return arrives_s

    def delay_s(self) -> float:
        """A random delay, mostly short."""
        if self.is_calm:
            return 0.001
        return self.random.choice(
            [0.001, 0.001, 0.002, 0.005, 0.02, 0.3, *([4.0] if self.random.random() < 0.1 else [])]
        )

    async def _may_stop(self) -> None:
        if self._is_shaky() and PROCESS.get() != "world" and self.random.random() < 0.02:
            self.loop.stop_process(PROCESS.get(), self.random.choice(_PAUSES_S))
            await asyncio.sleep(0)

    def _is_shaky(self) -> bool:
        process = PROCESS.get()
        if process not in self._steady:
            self._steady[process] = self.random.random() < 0.5
        return not self.is_calm and not self._steady[process]


def context_of(process: str) -> Context:
    """A context whose callbacks belong to the process."""
    context = copy_context()
    context.run(PROCESS.set, process)
    return context


def away() -> psycopg.OperationalError:
    """The error that a lost call raises."""
    return psycopg.OperationalError("the connection broke")


class SimulatedLog:
    """A `Log`; appends of one process to one partition keep their order."""

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
