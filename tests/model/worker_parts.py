"""A worker's parts that reach out of its process, exchanged for those of a schedule."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from types import SimpleNamespace
from typing import Self
from unittest.mock import patch

from pulp_projections.reading.positions import Positions
from pulp_worker import claiming
from pulp_worker import worker as worker_module
from pulp_worker.lease import Lease

from tests.model.network import Doors, SimulatedClaims, SimulatedRegistration


class SimulatedPositions(Positions):
    """The product's, told what the projector has done; it does not connect."""

    async def hear(self, positions: dict[int, int]) -> None:
        """As Postgres tells it."""
        self._set(positions)


class _Wakes:
    """The connection on which a worker listens."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def execute(self, _: str) -> None:
        pass

    async def notifies(self) -> AsyncIterator[None]:
        while True:
            await self._event.wait()
            self._event.clear()
            yield


class _NoGuard:
    """The loop is not stuck here; what is stopped is the whole process, and its guard with it."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


@contextlib.contextmanager
def worker_parts(doors: Doors, wakes: Mapping[str, asyncio.Event]) -> Iterator[None]:
    """What a worker is made of, where it would reach out of the schedule. `wakes`: what each worker listens for."""
    loop = doors.network.loop

    async def connect(_: str, application_name: str) -> _Wakes:
        return _Wakes(wakes[application_name.split("/")[1]])

    clock = SimpleNamespace(monotonic=loop.time)
    listening = patch.multiple(claiming, connect=connect, time=clock)
    with (
        listening,
        patch.multiple(
            worker_module,
            Claims=lambda settings, _="claims": SimulatedClaims(doors, settings.name),
            Registration=lambda settings: SimulatedRegistration(doors, settings.name, settings.lease_s),
            Lease=lambda seconds: Lease(seconds, loop.time),
            Guard=_NoGuard,
            time=clock,
        ),
    ):
        yield
