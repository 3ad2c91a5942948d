"""The tables, over the network."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from pulp_events.errors import PulpError
from pulp_processor.reacting.view import EndCandidate

from tests.model.dispatch_witness import DispatchWitness
from tests.model.memory_dispatch import MemoryDispatch
from tests.model.memory_tables import TIMELINE, MemoryTables
from tests.model.network import Network, away
from tests.model.notifying import Notifications


class Call(NamedTuple):
    """A call as it was served."""

    now_s: float
    name: str
    """The name of the method of `MemoryTables` or `MemoryDispatch`."""
    arguments: tuple[Any, ...]
    result: Any
    """Or the product's error."""


class Doors:
    """What reaches the tables, and in which order: `trace`."""

    def __init__(
        self, network: Network, tables: MemoryTables, dispatch: MemoryDispatch, witness: DispatchWitness
    ) -> None:
        self.network = network
        self.tables = tables
        self.dispatch = dispatch
        self.witness = witness
        self.notifications = Notifications(network)
        tables.notify = self.notifications.send
        self.trace: list[Call] = []

    async def call(self, name: str, *arguments: Any, by: str = "") -> Any:
        """Call a statement of workers or of the reactor; raises `psycopg.OperationalError` if the call is lost.

        Calls of one process `by` the same connection are served in order.
        """
        return await self._call(getattr(self.tables, name), arguments, by)

    async def call_dispatch(self, name: str, epoch: int, *arguments: Any, by: str = "") -> Any:
        """The same for a statement of the dispatcher that believes to be elected in the epoch."""
        statement = getattr(self.dispatch, name)

        def watched(now_s: float, *arguments: Any) -> Any:
            with self.witness.watching(now_s, name, *arguments):
                return statement(now_s, *arguments)

        watched.__name__ = name
        return await self._call(watched, (epoch, *arguments), by)

    async def _call(self, statement: Callable[..., Any], arguments: tuple[Any, ...], by: str) -> Any:
        def act() -> Any:
            now_s = self.network.loop.time()
            try:
                result = statement(now_s, *arguments)
            except PulpError as error:
                self.trace.append(Call(now_s, statement.__name__, arguments, error))
                raise
            self.trace.append(Call(now_s, statement.__name__, arguments, result))
            return result

        return await self.network.call(act, f"postgres {by}", away)

    def new_id(self) -> UUID:
        """An id from the seed's random numbers."""
        return UUID(int=self.network.random.getrandbits(128), version=4)


class SimulatedView:
    """The reactor's `ReactorView`."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def timeline_and_positions(self) -> tuple[str, dict[int, int]]:
        """See `ReactorView.timeline_and_positions`."""
        return TIMELINE, dict(self._doors.tables.model.positions)

    async def end_candidates(self, known: Mapping[str, object]) -> list[EndCandidate]:
        """See `ReactorView.end_candidates`."""
        found: list[EndCandidate] = await self._doors.call("end_candidates", known)
        return found

    async def contexts(self, task_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """See `ReactorView.contexts`: nothing is traced here."""
        return {}

    async def sweep(self, known: Mapping[str, object]) -> None:
        """See `ReactorView.sweep`."""
        await self._doors.call("sweep", known)
