"""Which tasks the subscriber of a stream may see, for users who may not see all."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Container, Sequence
from typing import Final
from uuid import UUID

from pulp_events.errors import ReadModelUnavailable
from pulp_projections.away import AWAY
from pulp_projections.reading.positions import Positions

from pulp_api.streaming.streamed_events import StreamedEvent

_TRUSTED_S: Final = 5.0
"""How long an answer counts: a role on a task that is taken away takes effect after this."""
_PATIENCE_S: Final = 5.0

Look = Callable[[Collection[UUID]], Awaitable[set[UUID]]]
"""Returns the tasks among these that the user may see, as far as they are projected."""


class VisibleTasks:
    """Remembers for a few seconds which tasks of a stream its user may see."""

    def __init__(self, positions: Positions, look: Look) -> None:
        self._positions, self._look = positions, look
        self._known: dict[UUID, bool] = {}
        self._ends_s = 0.0

    async def __call__(self, events: Sequence[StreamedEvent]) -> Container[UUID | None]:
        """The ids of those tasks of the events that the user may see. Raises `ReadError`."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._ends_s:
            self._known, self._ends_s = {}, now_s + _TRUSTED_S
        new = [event for event in events if event.task_id is not None and event.task_id not in self._known]
        if new:
            # The owner of a new task is in the read model, which may not have its first event yet.
            ends: dict[int, int] = {}
            for event in new:
                ends[event.partition] = max(event.offset + 1, ends.get(event.partition, 0))
            await self._positions.reach(ends, _PATIENCE_S)
            wanted = {event.task_id for event in new if event.task_id is not None}
            try:
                found = await self._look(wanted)
            except AWAY as error:
                raise ReadModelUnavailable("Postgres does not answer") from error
            self._known.update((task_id, task_id in found) for task_id in wanted)
        return {event.task_id for event in events if event.task_id is not None and self._known.get(event.task_id)}
