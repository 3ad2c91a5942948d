"""Replaces the parts of a worker that reach outside its process by those of a schedule."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest.mock import patch
from uuid import UUID

from psycopg.pq import PipelineStatus, TransactionStatus
from pulp_worker import claims as claims_module
from pulp_worker import connection as connection_module
from pulp_worker import worker as worker_module
from pulp_worker.claims import Claim, Claims, Look
from pulp_worker.connection import Connection
from pulp_worker.lease import Lease
from pulp_worker.registration import NameHolder, NameInUse
from pulp_worker.sdk import Operation
from pulp_worker.settings import Settings

from tests.model.doors import Doors
from tests.model.notifying import SimulatedNotices


class SimulatedClaims(Claims):
    """The product's class, whose statements go to the tables in memory."""

    def __init__(self, doors: Doors, settings: Settings, connection: Connection) -> None:
        super().__init__(settings, connection)
        self._doors = doors

    async def look(self, instance_id: UUID, asked: Collection[Claim], holds: Iterable[UUID] | None = None) -> Look:
        """See `Claims.look`."""
        async with self._watching() as notices:
            assert holds is not None  # the worker says which
            arguments = (self._settings.name, instance_id, list(asked), list(holds))
            look: Look = await self._doors.call("look", *arguments, by=notices.name)  # type: ignore[attr-defined]
        return look

    async def end(self, claims: Iterable[Claim]) -> frozenset[UUID]:
        """See `Claims.end`."""
        async with self._connection.use(self._limit_s):
            kept: frozenset[UUID] = await self._doors.call("end", list(claims))
        return kept

    async def release(self, claims: Iterable[Claim]) -> None:
        """See `Claims.release`."""
        async with self._connection.use(self._limit_s):
            await self._doors.call("release", list(claims))

    async def release_others(self, instance_id: UUID, known: Collection[Claim]) -> None:
        """See `Claims.release_others`."""
        async with self._connection.use(self._limit_s):
            await self._doors.call("release_others", self._settings.name, instance_id, list(known))

    async def put_back(self, instance_id: UUID, held: Sequence[Claim]) -> frozenset[UUID]:
        """No other server takes over in a schedule."""
        raise NotImplementedError


class SimulatedRegistration:
    """`Registration` of one process."""

    def __init__(self, doors: Doors, settings: Settings, connection: Connection) -> None:
        self.instance_id = doors.new_id()
        self.is_blind = False
        self.has_holds = True
        self.may_rest = False
        self.is_listening = True
        self._doors = doors
        self._settings = settings
        self._connection = connection
        self._previous: UUID | None = None

    async def register(self, _: Sequence[Operation]) -> str:
        """See `Registration.register`."""
        settings = self._settings
        async with self._connection.use():
            timeline = await self._doors.call(
                "register", *self._me(), self._previous, settings.lease_s, settings.concurrency
            )
        if timeline is None:
            holder = self._doors.tables.workers[settings.name]
            heard = datetime.fromtimestamp(holder.heartbeat_at_s, UTC)
            raise NameInUse(settings.name, NameHolder("here", 1, holder.instance_id, heard, holder.lease_s))
        return str(timeline)

    def become_another(self) -> None:
        """See `Registration.become_another`."""
        self._previous, self.instance_id = self.instance_id, self._doors.new_id()

    async def settle(self) -> None:
        """Does nothing: all workers of a schedule declare the same."""

    async def heartbeat(self) -> str | None:
        """See `Registration.heartbeat`."""
        async with self._connection.use():
            answer: tuple[str, bool, bool, bool] | None = await self._doors.call("heartbeat", *self._me())
        if answer is None:
            return None
        timeline, self.has_holds, self.may_rest, self.is_listening = answer
        return timeline

    async def rest(self) -> bool:
        """See `Registration.rest`."""
        async with self._connection.use():
            return bool(await self._doors.call("rest", *self._me()))

    async def listen(self) -> None:
        """See `Registration.listen`."""
        async with self._connection.use():
            await self._doors.call("listen", *self._me())

    async def drain(self) -> None:
        """See `Registration.drain`."""
        async with self._connection.use():
            await self._doors.call("drain", *self._me())

    async def unregister(self) -> None:
        """See `Registration.unregister`."""
        async with self._connection.use():
            await self._doors.call("unregister", *self._me())

    def _me(self) -> tuple[str, UUID]:
        return self._settings.name, self.instance_id


class _NoGuard:
    """Does nothing: a schedule stops whole processes, including their watchdog."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


@contextlib.contextmanager
def worker_parts(doors: Doors) -> Iterator[None]:
    """The parts of a worker that stay within the schedule."""
    loop = doors.network.loop

    async def connect(_: str, name: str, **__: object) -> SimpleNamespace:
        await doors.call("ping", by=name)
        at_rest = SimpleNamespace(transaction_status=TransactionStatus.IDLE, pipeline_status=PipelineStatus.OFF)
        connection = SimpleNamespace(closed=False, pgconn=at_rest)

        async def close() -> None:
            connection.closed = True

        connection.close = close
        return connection

    async def listen(
        _: str, name: str, channels: tuple[str, ...], on_notice: Callable[[str, str], None], __: Mapping[str, str]
    ) -> SimulatedNotices:
        await doors.call("ping", by=name)
        return SimulatedNotices(doors.notifications, name, channels, on_notice)

    with (
        patch.object(connection_module, "connect", connect),
        patch.object(claims_module, "Notices", SimpleNamespace(open=listen)),
        patch.multiple(
            worker_module,
            Claims=lambda settings, connection: SimulatedClaims(doors, settings, connection),
            Registration=lambda settings, connection: SimulatedRegistration(doors, settings, connection),
            Lease=lambda seconds, **_: Lease(seconds, loop.time),
            Guard=_NoGuard,
        ),
    ):
        yield
