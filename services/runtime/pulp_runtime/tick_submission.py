"""The port that submits the tasks of ticks: the processor uses it; the command that starts a processor provides it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from pulp_events.errors import PulpError
from pulp_events.log import TimedLog
from pulp_events.schedule import Schedule


class TickRefusal(PulpError):
    """The task of a tick may not be submitted: a request of the schedule's author would be refused as well."""


class TickSubmitter(Protocol):
    """Submits the tasks of ticks."""

    async def submit(self, schedule: Schedule, tick: datetime) -> UUID | None:
        """Submit the task of a pending tick as the schedule's author, and return its id once it is durable.

        None if the tick is no longer pending; then nothing was written. A tick creates one task, however often it is
        submitted. Raises `TickRefusal`; and `psycopg.Error`, `LogError` or `ReadError` if it must be tried again.
        """
        ...


OpenTickSubmitter: TypeAlias = Callable[[], AbstractAsyncContextManager[TickSubmitter]]
"""Opens submitters, for the ticks of one round."""
MakeTickSubmitter: TypeAlias = Callable[[TimedLog, int], OpenTickSubmitter]
"""Given the log of tasks and its number of partitions."""
