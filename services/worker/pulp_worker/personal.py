"""Personal arguments: decrypted when an attempt begins, only for the process of its operation."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

from msgspec import Raw
from pulp_events.errors import PulpError
from pulp_events.events import ErrorCode
from pulp_projections.away import keep_trying, reason_of
from pulp_projections.personal.envelope import Opened, Sight, may_hold

from pulp_worker.claims import Claim
from pulp_worker.connection import Connection
from pulp_worker.errors import TaskCancelled
from pulp_worker.outcome import Ended, failed, raised

_RETRY_S: Final = 0.5
_log = logging.getLogger("pulp.worker")
Open = Callable[[Claim], Awaitable[Opened]]
"""Opens the arguments of a claim. Raises `psycopg.OperationalError` while Postgres is away, and `PulpError`."""


class _Run(Protocol):
    async def wait(self) -> Ended: ...
    def cancel(self) -> None: ...
    def kill(self) -> None: ...
    def extend(self) -> None: ...


def holds_personal_data(claim: Claim) -> bool:
    """Whether arguments of the claim may be encrypted."""
    return may_hold(claim.arguments)


def opener(connection: Connection, key_file: Path | None) -> Open:
    """A function that opens arguments by the present keys in Postgres; it keeps none of them."""

    async def open_(claim: Claim) -> Opened:
        # Imported here: it loads a cryptographic library, which a worker without personal data never needs.
        from pulp_projections.personal.keys import SubjectKeys
        from pulp_projections.personal.master import MasterKeys

        async with connection.use() as used:
            found = await SubjectKeys(MasterKeys(key_file)).opened(used, {claim.task_id: claim.arguments})
        return found.get(claim.task_id) or Opened(Raw(claim.arguments), {})

    return open_


class PersonalRun:
    """A run that begins once the arguments are decrypted. If one of them cannot be decrypted, nothing runs."""

    def __init__(self, claim: Claim, open_: Open, begin: Callable[[Claim], _Run]) -> None:
        self._claim, self._begin = claim, begin
        self._run: _Run | None = None
        self._is_cancelled = self._is_killed = False
        self._opening = asyncio.create_task(self._open(open_), name=f"personal-{claim.task_id}")

    async def wait(self) -> Ended:
        """See `Run.wait`."""
        await asyncio.wait([self._opening])
        if self._is_killed:
            return raised(TaskCancelled())
        try:
            opened = self._opening.result()
        except PulpError as error:
            return failed(ErrorCode.PERSONAL_DATA_UNREADABLE, f"Personal arguments cannot be read: {error}.")
        for name, sight in opened.personal.items():
            if sight is Sight.ERASED:
                return failed(
                    ErrorCode.PERSONAL_DATA_ERASED, f"The argument {name} was personal data, which was erased."
                )
            if sight is Sight.UNREADABLE:
                return failed(
                    ErrorCode.PERSONAL_DATA_UNREADABLE,
                    f"The argument {name} looks like encrypted personal data, and was not encrypted for this task.",
                    is_final=True,
                )
        self._run = self._begin(self._claim._replace(arguments=bytes(opened.arguments)))
        if self._is_cancelled:
            self._run.cancel()
        return await self._run.wait()

    def cancel(self) -> None:
        """See `Run.cancel`."""
        self._is_cancelled = True
        if self._run is not None:
            self._run.cancel()

    def kill(self) -> None:
        """See `Run.kill`."""
        self._is_killed = True
        self._opening.cancel()
        if self._run is not None:
            self._run.kill()

    def extend(self) -> None:
        """See `Run.extend`."""
        if self._run is not None:
            self._run.extend()

    async def _open(self, open_: Open) -> Opened:
        """Waits while Postgres is away, until the run is killed with its lease."""

        def away(error: Exception, pause_s: float) -> None:
            _log.warning(
                "personal arguments cannot be read yet: %s", reason_of(error), extra={"task_id": self._claim.task_id}
            )

        return await keep_trying(lambda: open_(self._claim), away, pauses_s=(_RETRY_S,))
