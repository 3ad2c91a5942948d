"""Reads the facts that decide whether a waiting task may begin, and what many waiting tasks wait for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.sql import SQL
from pulp_events.task import State

from pulp_projections.sql import load
from pulp_projections.workers import DISPATCHER_S

_MOST_USES: Final = 20_000
"""The most uses of a resource that are read, from an index alone."""
_MOST_TASKS: Final = 250
"""The most tasks of all its resources together that are read, from either end."""


class ClaimedBy(Struct, frozen=True):
    """The worker to which the task is assigned."""

    worker: str
    is_live: bool


class Workers(Struct, frozen=True):
    """Numbers of live workers and of their slots."""

    live: int
    serving: int
    """Workers that serve the task's queue and are not draining."""
    offering: int
    """The workers among them that offer its operation, or do not say what they offer."""
    slots: int
    """The slots of the workers that offer it."""
    free: int


class LastWorker(Struct, frozen=True):
    """The last worker that served the task's queue, preferably one that also offered its operation."""

    worker: str
    until: datetime
    is_offering: bool


class Unmet(Struct, frozen=True):
    """A dependency that has not succeeded. `state` is None if the task does not exist."""

    task_id: UUID
    state: State | None


class HeldResource(Struct, frozen=True):
    """A resource that another task uses, in conflict with the waiting task.

    If several tasks run in turn in one slot, it is the current one.
    """

    task_id: UUID
    state: State | None
    resource: str
    is_exclusive: bool
    """Held exclusively; otherwise it is shared, and the waiting task needs it exclusively."""


class Ahead(Struct, frozen=True):
    """Another waiting task that was accepted earlier and uses the resource in conflict."""

    task_id: UUID
    resource: str


class Author(Struct, frozen=True):
    """A user, and what limits how many of the user's tasks run."""

    name: str
    role: str
    quota: str
    """The quota of this user alone."""
    running: int
    """The number of slots that the user's tasks occupy."""


class FailedAttempt(Struct, frozen=True):
    """The last attempt of a task that waits for its next one."""

    attempt: int
    code: str
    """The code of its error."""
    retry_at: datetime
    """The next attempt begins no earlier."""


class ParkedBy(Struct, frozen=True):
    """The record that parks a task."""

    position: str
    """PARTITION:OFFSET"""
    reason: str
    behind: int
    """How many records of the task wait behind it."""


class WaitingFacts(Struct, frozen=True):
    """The facts about a waiting task, all from one moment."""

    task_id: UUID
    state: State
    queue: str
    operation: str
    claimed_by: ClaimedBy | None
    workers: Workers
    unmet: tuple[Unmet, ...]
    held: tuple[HeldResource, ...]
    """At most 20, exclusive holders first."""
    ahead: Ahead | None
    """The earliest of these tasks."""
    author: Author | None = None
    """Who submitted the task; None if that is not an existing user."""
    last: LastWorker | None = None
    """None if no known worker ever served the queue."""
    has_dispatcher: bool = True
    """Whether a processor is elected to assign tasks to workers."""
    is_settling: bool = False
    """Whether that one assigns nothing yet, because it has just taken over."""
    is_passed_over: bool = False
    """Later tasks no longer wait for it, since for too long nobody could run it or a task that it depends on."""
    parked: ParkedBy | None = None
    failed: FailedAttempt | None = None
    """None if it does not wait for its next attempt."""
    reader: str | None = None
    """The reader, if the reader may not see all tasks; then numbers of others' tasks are omitted too."""
    hidden: frozenset[UUID] = frozenset()
    """The tasks among them that the reader may not see: the answer says that there is one, but not which."""

    def named(self) -> set[UUID]:
        """The tasks that the facts mention, besides the task itself."""
        ahead = () if self.ahead is None else (self.ahead.task_id,)
        return {*(each.task_id for each in self.unmet), *(each.task_id for each in self.held), *ahead}


class Postponed(Struct, frozen=True):
    """What a waiting task waits for, all from one moment: a part of its `WaitingFacts`."""

    task_id: UUID
    is_claimed: bool
    """It is assigned to a worker: it no longer waits for `ahead` and `unmet`."""
    unmet: tuple[Unmet, ...]
    held: tuple[HeldResource, ...]
    ahead: Ahead | None

    def named(self) -> set[UUID]:
        """The tasks that it waits for."""
        ahead = () if self.ahead is None else (self.ahead.task_id,)
        return {*(each.task_id for each in self.unmet), *(each.task_id for each in self.held), *ahead}


def _statement(name: str) -> bytes:
    pieces = load("pulp_projections.reading", "waiting.sql")
    of_resource, passed_over = SQL(pieces["of_resource"]), SQL(pieces["passed_over"])
    aside = SQL(pieces["aside"]).format(row=SQL("e"), passed_over=passed_over.format(row=SQL("e")))
    return (
        SQL(pieces[name])
        .format(
            passed_over=passed_over.format(row=SQL("t")),
            first_of_resource=of_resource.format(order=SQL("asc"), aside=aside),
            last_of_resource=of_resource.format(order=SQL("desc"), aside=aside),
            holds=SQL(load("pulp_projections", "workers.sql")["holds"]),
            parked=SQL(pieces["parked"]),
            unmet=SQL(pieces["unmet"]),
            held=SQL(pieces["held"]),
        )
        .as_bytes()
    )


STATEMENT: Final = _statement("facts")
_POSTPONED: Final = _statement("postponed")
BOUNDS: Final = {"most_uses": _MOST_USES, "most_tasks": _MOST_TASKS, "dispatcher_s": DISPATCHER_S}
"""Its parameters besides the task and `unserved_s`."""


async def facts_of(connection: AsyncConnection, task_id: UUID, *, unserved_s: float) -> WaitingFacts | None:
    """The facts about a task in any state; None if the task does not exist. Takes milliseconds however many tasks wait.

    `unserved_s` must equal the setting of the processors.
    """
    values = {**BOUNDS, "task_id": task_id, "unserved_s": unserved_s}
    cursor = await connection.execute(STATEMENT, values)
    row = await cursor.fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=WaitingFacts)


async def postponed(
    connection: AsyncConnection, task_ids: Sequence[UUID], *, unserved_s: float
) -> dict[UUID, Postponed]:
    """What the waiting tasks among these wait for. `unserved_s` must equal the setting of the processors."""
    values = {**BOUNDS, "task_ids": list(task_ids), "unserved_s": unserved_s}
    rows = await (await connection.execute(_POSTPONED, values)).fetchall()
    found = [msgspec.json.decode(text, type=Postponed) for (text,) in rows]
    return {each.task_id: each for each in found}
