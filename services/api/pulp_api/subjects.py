"""Subjects, whose personal data the arguments of tasks hold, and their erasure.

An erasure destroys the key first. The same transaction stores the pending audit record. So if the process is killed in
between, the subject is erased, and another process writes the audit record with the same event id.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import UUID

import psycopg
from pulp_events.audit import OUTCOMES, AuditRecord, What
from pulp_events.audit_log import write_audit
from pulp_events.errors import BadInput, EventTooLarge, LogError, LogUnavailable, PulpError
from pulp_events.kafka import Servers
from pulp_projections.personal import keys
from pulp_projections.personal.keys import Erasure, Subject, SubjectKeys
from pulp_projections.personal.master import KeysUnusable, MasterKeys

from pulp_api.logins.auth import Connect

Tell = Callable[[AuditRecord], Awaitable[None]]
"""Appends a record to the audit and waits until it is stored. Raises `LogError`, `EventTooLarge`."""
_LOOK_S: Final = 30.0
_log = logging.getLogger("pulp.audit")


class NoSubject(PulpError):
    """No key has this id."""

    def __init__(self, key_id: UUID | str) -> None:
        super().__init__(f"there is no subject with the key {key_id}")
        self.key_id = key_id


class SubjectNamed(BadInput):
    """The reason of an erasure names the person whose data is erased."""

    def __init__(self) -> None:
        super().__init__("reason: it names the person, and is kept for ever: give a reason without the name")


async def nobody(_: AuditRecord) -> None:
    """Without an audit topic. Raises `LogUnavailable`."""
    raise LogUnavailable("this API has no topic of the audit")


class Subjects:
    """Lists, finds and erases subjects."""

    def __init__(self, connect: Connect, tell: Tell = nobody, master: MasterKeys | None = None) -> None:
        self._connect, self._tell = connect, tell
        self._keys = SubjectKeys(master or MasterKeys())

    async def page(self, *, is_erased: bool | None, limit: int, offset: int) -> tuple[list[Subject], int]:
        """A page of the subjects, newest first, and their number."""
        async with self._connect() as connection:
            return await keys.list_subjects(connection, is_erased=is_erased, limit=limit, offset=offset)

    async def get(self, key_id: UUID) -> Subject:
        """Raises `NoSubject`."""
        async with self._connect() as connection:
            found = await keys.read_subject(connection, key_id)
        if found is None:
            raise NoSubject(key_id)
        return found

    async def find(self, name: str) -> list[Subject]:
        """The keys of the person of this name: the key in use, and destroyed ones."""
        async with self._connect() as connection:
            return await self._keys.find(connection, name)

    async def erase(self, key_id: UUID, erasure: Erasure) -> Subject:
        """Destroy the key; a destroyed one stays as it is. Raises `NoSubject`, `SubjectNamed`.

        The audit record is published at once, or later if Kafka is away: see `is_told`.
        """
        async with self._connect() as connection:
            if await self._is_named(connection, key_id, erasure.reason):
                raise SubjectNamed
            found = await keys.erase(connection, key_id, erasure)
        if found is None:
            raise NoSubject(key_id)
        try:
            await self.tell()
        except (LogError, EventTooLarge) as error:
            _log.warning("an erasure is not in the audit yet: %s", error, extra={"key_id": key_id})
        return await self.get(key_id)

    async def _is_named(self, connection: psycopg.AsyncConnection, key_id: UUID, reason: str) -> bool:
        try:
            return await self._keys.is_named_in(connection, key_id, reason)
        except KeysUnusable as error:  # an erasure must not depend on keys that are lost
            _log.warning("whether the reason of an erasure names the person was not checked: %s", error)
            return False

    async def tell(self) -> None:
        """Tell the audit of every erasure that it does not have. Raises `LogError`, `EventTooLarge`."""
        while True:
            async with self._connect() as connection, connection.transaction():
                found = await keys.next_to_tell(connection)
                if found is None:
                    return
                await self._tell(record_of(found))
                await keys.told(connection, found.key_id)

    async def keep_telling(self) -> None:
        """Write the audit records that a killed process, or Kafka's absence, has left pending; never ends."""
        while True:
            try:
                await self.tell()
            except (LogError, EventTooLarge, psycopg.Error) as error:
                _log.warning("an erasure is not in the audit yet: %s", error)
            await asyncio.sleep(_LOOK_S)


def record_of(subject: Subject) -> AuditRecord:
    """The audit record of an erasure: the same however often it is made. It does not name the person. Pure."""
    assert subject.event_id is not None
    assert subject.erased_at is not None
    assert subject.erased_by is not None
    counted = f"{subject.tasks} tasks, {subject.unfinished} of them unfinished"
    return AuditRecord(
        what=What.SUBJECT_ERASED,
        outcome=OUTCOMES[What.SUBJECT_ERASED],
        actor=subject.erased_by,
        address=subject.address,
        method=subject.method,
        target=str(subject.key_id),
        detail=f"{counted}: {subject.reason}",
        time=subject.erased_at,
        id=subject.event_id,
        correlation_id=subject.correlation_id,
    )


def telling_audit(servers: Servers, topic: str) -> Tell:
    """Appends to the audit topic."""

    async def tell(record: AuditRecord) -> None:
        await asyncio.to_thread(partial(write_audit, servers, topic, record))

    return tell


@asynccontextmanager
async def erasures_told(subjects: Subjects) -> AsyncIterator[None]:
    """While it is open, it writes pending records to the audit."""
    running = asyncio.create_task(subjects.keep_telling())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])
