"""The messages between the worker and the guardian of a plain operation: lines of JSON."""

from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from pulp_worker.fetching.settings import FetchSettings
from pulp_worker.isolation import IsolationSettings
from pulp_worker.outcome import Ended

END_OF_RUN: Final = b'{"ended"'
"""The prefix of the line in which a process reports how its operation ended."""

CHANNEL_LOST: Final = 76
"""Exit status of a process that could not report how its operation ended, since the operation closed the channel."""


class Job(Struct, frozen=True):
    """The operation to run, and its deadline: `until_s` is by the machine's monotonic clock."""

    module: str
    attribute: str
    task_id: UUID
    attempt_id: UUID
    arguments: dict[str, Any]
    storage: str
    tokens: dict[str, int]
    path: list[str]
    """`sys.path` of the worker, so that the same modules can be imported here."""
    scratch: str
    """A folder that is created for this attempt, and removed after it."""
    until_s: float
    fetching: FetchSettings
    isolation: IsolationSettings


class Command(Struct, omit_defaults=True):
    """From the worker: the task was asked to stop, the lease was renewed, or the operation must end now."""

    cancel: bool = False
    kill: bool = False
    until_s: float | None = None


class Message(Struct, omit_defaults=True):
    """To the worker. Progress and the end come from the operation itself, the rest from its guardian."""

    is_ready: bool = False
    """The guardian waits for its job."""
    progress: Raw = Raw()
    ended: Ended | None = None
    output: tuple[str, ...] = ()
    """Lines that were printed."""
    exited: int | None = None
    """The operation's process and all that it had started are gone: its exit status, or minus a signal's number."""


def line(message: Job | Command | Message) -> bytes:
    """The message as sent."""
    return msgspec.json.encode(message) + b"\n"
