"""The recent writes of each user: the user's next list waits until the projection has them."""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pulp_events.task import Position

from pulp_api.logins.recent import Recent

REMEMBERED_S: Final = 60.0
"""How long a write is remembered; the projection is never that far behind while it works."""
_MOST_USERS: Final = 10_000


class _Written(NamedTuple):
    next_offsets: dict[int, int]
    ends_s: float


class RecentWrites:
    """The events that users have appended through this process. Another process of the API does not know them."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._by_actor: Recent[str, _Written] = Recent(_MOST_USERS)

    def note(self, actor: str, position: Position) -> None:
        """The user has appended the event at this position."""
        known = {**self.of(actor)}
        known[position.partition] = max(position.offset + 1, known.get(position.partition, 0))
        self._by_actor.put(actor, _Written(known, self._clock_s() + REMEMBERED_S))

    def of(self, actor: str) -> Mapping[int, int]:
        """Partition → the next offset after the user's writes; empty if those were long ago."""
        found = self._by_actor.get(actor)
        return {} if found is None or found.ends_s < self._clock_s() else found.next_offsets
