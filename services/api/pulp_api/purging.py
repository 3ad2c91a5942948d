"""Purging one task: append the event, and wait until reads leave the task out."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Raw
from pulp_accounts.users import Role
from pulp_events.decisions import purge
from pulp_events.errors import TaskNotPurgeable
from pulp_events.ids import new_id
from pulp_events.log import TimedLog
from pulp_events.purging import PURGE_TASKS, PurgeArguments
from pulp_events.task import Position, Reason
from pulp_projections.stored_tasks import load_tasks

from pulp_api.caller import Caller
from pulp_api.freshness import Freshness, behind
from pulp_api.logins.auth import Connect, Forbidden, Principal
from pulp_api.submitting.submission import Submission
from pulp_api.task_reader import MissingTask

HIDE_S: Final = 2.0
"""How long a purge of one task waits for the projection."""


def submission_of(wanted: PurgeArguments) -> Submission:
    """The task that purges what matches."""
    return Submission(operation=PURGE_TASKS, arguments=Raw(msgspec.json.encode(wanted)))


def check_operation(principal: Principal, operation: str) -> None:
    """Submitters purge by the call for it alone, which restricts it to their own tasks. Raises `Forbidden`.

    For whatever submits an operation that a user names.
    """
    if operation == PURGE_TASKS and principal.role is Role.SUBMITTER:
        raise Forbidden(
            principal.actor, f"user {principal.name} may purge own tasks only: purge them by the call for it"
        )


class Purger:
    """Purges single tasks."""

    def __init__(self, log: TimedLog, freshness: Freshness, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._log = log
        self._freshness = freshness
        self._connect = connect
        self._clock = clock

    async def hide(self, task_id: UUID, caller: Caller, *, owner: str | None = None) -> Position:
        """Purge one task, and return where the event is; waits for the projection for `HIDE_S`.

        Raises `MissingTask`, also for a purged task, `TaskNotPurgeable`, `Forbidden` if another than `owner` has
        submitted it, and the log's errors.
        """
        lag = await self._freshness.catch_up()
        async with self._connect() as connection:
            task = (await load_tasks(connection, [task_id])).get(task_id)
        if task is None:
            raise behind(lag) if lag is not None else MissingTask(task_id, None)
        if owner not in (None, task.created_by) and task.purged_at_ms is None:
            raise Forbidden(caller.actor, f"{caller.actor.replace(':', ' ', 1)} may purge own tasks only")
        try:
            events = purge(
                task,
                event_id=new_id(),
                now=self._clock(),
                actor=caller.actor,
                correlation_id=caller.correlation_id,
            )
        except TaskNotPurgeable as error:
            if lag is not None:
                raise behind(lag) from error
            raise
        for event in events:
            position = await self._log.append(event, task.partition)
            if await self._freshness.effect_of(position, HIDE_S) != Reason.ALREADY_PURGED:
                return position
        raise MissingTask(task_id, None)
