"""The origins of the tasks of events, for filters that ask for them: remembered, else read from the read model."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final
from uuid import UUID

from msgspec import UNSET
from pulp_events.errors import ReadModelUnavailable
from pulp_events.filters import Origin, Origins
from pulp_projections.away import AWAY
from pulp_projections.reading.positions import Positions

from pulp_api.streaming.streamed_events import StreamedEvent

_PATIENCE_S: Final = 5.0

Look = Callable[[Collection[UUID]], Awaitable[Mapping[UUID, Origin]]]
"""Reads the origins of tasks, as far as they are projected."""


class TaskOrigins:
    """Tells events their tasks' origins. All streams of the process share one, so each is looked up once."""

    def __init__(self, positions: Positions, look: Look) -> None:
        self._positions, self._look = positions, look
        self._memory = Origins()
        self._turn = asyncio.Lock()

    def learn(self, events: Iterable[StreamedEvent]) -> None:
        """Remember the tasks that these events accept."""
        self._memory.look_up_pairs(
            [(event.task_id, event.accepted) for event in events if event.task_id and event.accepted]
        ).origins()

    async def tell(self, events: Collection[StreamedEvent]) -> None:
        """Set the origin of each of these events. They are in log order. Raises `ReadError`."""
        async with self._turn:  # streams that ask for the same events wait for one answer
            new = [event for event in events if event.origin is UNSET]
            pairs = [(event.task_id, event.accepted) for event in new if event.task_id is not None]
            look_up = self._memory.look_up_pairs(pairs)
            missing = look_up.missing
            found = await self._read(new, missing) if missing else {}
            origins = iter(look_up.origins(found))
            for event in new:
                event.origin = None if event.task_id is None else next(origins)

    async def _read(self, events: Collection[StreamedEvent], missing: set[UUID]) -> Mapping[UUID, Origin]:
        # Whether a task has an `accepted` event before these is only known once the projection has passed them.
        ends: dict[int, int] = {}
        for event in events:
            if event.task_id in missing:
                ends[event.partition] = max(event.offset + 1, ends.get(event.partition, 0))
        await self._positions.reach(ends, _PATIENCE_S)
        try:
            return await self._look(missing)
        except AWAY as error:
            raise ReadModelUnavailable("Postgres does not answer") from error
