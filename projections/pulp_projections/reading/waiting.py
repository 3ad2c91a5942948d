"""Reading what a waiting task waits for: the facts that decide whether a worker may claim it."""

from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.sql import SQL
from pulp_events.settings import UNSERVED_S
from pulp_events.task import State

from pulp_projections.sql import load

_MOST_USES: Final = 20_000
"""Uses of a resource that are looked at, in its index alone."""
_MOST_TASKS: Final = 250
"""Tasks of all its resources together that are looked at, from either end."""


class ClaimedBy(Struct, frozen=True):
    """The worker that has claimed the task."""

    worker: str
    is_live: bool


class Workers(Struct, frozen=True):
    """The live workers, as far as they concern the task."""

    live: int
    serving: int
    """Those that serve its queue."""
    offering: int
    """Those of them that offer its operation as well, or that do not say what they offer."""
    slots: int
    """Of those that offer it."""
    free: int


class Unmet(Struct, frozen=True):
    """A task that has to succeed first. `state` is None if there is no such task."""

    task_id: UUID
    state: State | None


class Held(Struct, frozen=True):
    """A resource that another task holds in conflict with the one that waits."""

    task_id: UUID
    state: State | None
    resource: str
    is_exclusive: bool
    """It is held exclusively; else it is shared, and the task that waits needs it exclusively."""


class Ahead(Struct, frozen=True):
    """A task that waits as well, was accepted earlier, and uses the resource in conflict."""

    task_id: UUID
    resource: str


class Author(Struct, frozen=True):
    """A user, and what counts for how many of the user's tasks may run."""

    name: str
    role: str
    quota: str
    """What was set for this user alone."""
    running: int
    """Slots that the user's tasks take."""


class Facts(Struct, frozen=True):
    """All of one moment."""

    task_id: UUID
    state: State
    queue: str
    operation: str
    claimed_by: ClaimedBy | None
    workers: Workers
    unmet: tuple[Unmet, ...]
    held: tuple[Held, ...]
    """Up to 20 of them, exclusive holders first."""
    ahead: Ahead | None
    """The first one."""
    author: Author | None = None
    """Who submitted it; None if that user is gone, or is none."""
    is_passed_over: bool = False
    """Nobody could run it, or a task that it depends on, for so long that later tasks do not wait for it any more."""


def _statement() -> bytes:
    pieces = load("pulp_projections.reading", "waiting.sql")
    of_resource, passed_over = SQL(pieces["of_resource"]), SQL(pieces["passed_over"])
    before = passed_over.format(row=SQL("e"))
    return (
        SQL(pieces["facts"])
        .format(
            passed_over=passed_over.format(row=SQL("t")),
            first_of_resource=of_resource.format(order=SQL("asc"), passed_over=before),
            last_of_resource=of_resource.format(order=SQL("desc"), passed_over=before),
            takes_a_slot=SQL(load("pulp_projections", "workers.sql")["takes_a_slot"]),
        )
        .as_bytes()
    )


STATEMENT: Final = _statement()


async def facts_of(connection: AsyncConnection, task_id: UUID, *, unserved_s: float = UNSERVED_S) -> Facts | None:
    """The facts of a task, whatever its state; None if there is no such task. Takes milliseconds, however many wait.

    `unserved_s` is the workers' setting.
    """
    values = {"task_id": task_id, "unserved_s": unserved_s, "most_uses": _MOST_USES, "most_tasks": _MOST_TASKS}
    cursor = await connection.execute(STATEMENT, values)
    row = await cursor.fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Facts)
