"""The caller of a request: who it is, what quotas allow, and which tasks the caller may see."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from msgspec import UNSET, UnsetType
from psycopg import AsyncConnection
from pulp_events.events import Accepted, RequestFacts
from pulp_events.task import Position


class Admission(Protocol):
    """A submission that quotas allow; report the result of the append to it."""

    def written(self, position: Position) -> None:
        """The submission is in the log."""

    def failed(self, error: Exception) -> None:
        """The append failed."""


Admit = Callable[[Accepted], Awaitable[Admission]]
"""Asked just before a task is appended; raises the refusal."""
Visible = Callable[[AsyncConnection, Collection[UUID]], Awaitable[set[UUID]]]
"""The tasks among these that a user may see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The caller, and the request."""

    actor: str
    correlation_id: str | None
    admit: Admit | None = None
    """Asks whether the caller's quotas allow a submission; None if no quotas apply."""
    request: RequestFacts | UnsetType = UNSET
    """What events record of the request; unset if they are written as version 1."""
    visible: Visible | None = None
    """Asks which tasks the caller may see; None if it may see all."""
