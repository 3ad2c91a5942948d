"""Acting on dead letters: the actions of the command, for users of the API."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct
from pulp_events.audit import What
from pulp_events.errors import LogUnavailable
from pulp_events.events import Unparking
from pulp_events.ids import new_id
from pulp_events.log import RecordLog, TimedLog
from pulp_events.task import Position
from pulp_projections.dead_letters import (
    StoredLetter,
    act_on,
    check_discard,
    check_retry,
    find_letter,
    headers_again,
)
from pulp_projections.reading.positions import Positions
from pulp_projections.writing.parking import Standing

from pulp_api.auditing.audit import Audit
from pulp_api.caller import Caller
from pulp_api.freshness import UNREADABLE
from pulp_api.logins.auth import Connect
from pulp_api.recent_writes import RecentWrites

ACT_S: Final = 2.0
"""How long an act waits for the projection."""
MOST_REASON: Final = 1024
"""The most characters of a reason; the event takes no more."""


class DeadLetterAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that acts on a dead letter."""

    reason: Annotated[str, Meta(max_length=MOST_REASON)] | None = None


class Acted(NamedTuple):
    """The event appended for a retry or discard."""

    letter: StoredLetter
    """As it was before."""
    appended: Position
    is_projected: bool
    """Whether the projection has already acted on it; otherwise it will."""


class DeadLetters:
    """Projects records again, or lets their tasks go on without them."""

    def __init__(
        self,
        log: TimedLog,
        records: RecordLog | None,
        positions: Positions,
        connect: Connect,
        writes: RecentWrites,
        audit: Audit,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`records` appends what belongs to no task; without it such a record cannot be retried."""
        self._log, self._records = log, records
        self._positions, self._connect, self._writes = positions, connect, writes
        self._audit, self._clock = audit, clock

    async def get(self, position: Position) -> StoredLetter:
        """Raises `DeadLetterNotFound`."""
        async with self._connect() as connection:
            return await find_letter(connection, position)

    async def retry(
        self, position: Position, caller: Caller, *, address: str | None, method: str, reason: str | None
    ) -> Acted:
        """Project the record, as `pulp-tasks dead-letters retry` does. For one that belongs to no task, it writes an
        audit record, since no event records the action.

        Raises `DeadLetterNotFound`, `NotParked`, `StillUndecodable`, and the log's errors.
        """
        letter = await self.get(position)
        check_retry(letter)
        if letter.standing == Standing.PARKS:
            return await self._unpark(letter, Unparking.RETRY, caller, reason)
        if self._records is None:
            raise LogUnavailable("this API cannot append a record again: use pulp-tasks dead-letters retry")
        headers = headers_again(letter, self._records.topic)
        appended = await self._records.append_again(letter.key, letter.value, headers, letter.partition)
        self._audit.note_change(
            What.DEAD_LETTER_RETRIED,
            actor=caller.actor,
            address=address,
            target=str(position),
            detail=reason or "",
            method=method,
            correlation_id=caller.correlation_id,
        )
        return await self._acted(letter, appended, caller)

    async def discard(self, position: Position, caller: Caller, *, reason: str | None) -> Acted:
        """Let the task go on without the record, as `pulp-tasks dead-letters discard`.

        Raises `DeadLetterNotFound`, `NotParked`, and the log's errors.
        """
        letter = await self.get(position)
        check_discard(letter)
        return await self._unpark(letter, Unparking.DISCARD, caller, reason)

    async def _unpark(self, letter: StoredLetter, action: Unparking, caller: Caller, reason: str | None) -> Acted:
        event = act_on(
            letter,
            action,
            event_id=new_id(),
            now=self._clock(),
            actor=caller.actor,
            reason=reason,
            correlation_id=caller.correlation_id,
            request=caller.request,
        )
        return await self._acted(letter, await self._log.append(event, letter.partition), caller)

    async def _acted(self, letter: StoredLetter, appended: Position, caller: Caller) -> Acted:
        self._writes.note(caller.actor, appended)
        try:
            await self._positions.reach({appended.partition: appended.offset + 1}, ACT_S)
        except UNREADABLE:
            return Acted(letter, appended, is_projected=False)
        return Acted(letter, appended, is_projected=True)
