"""Writes audit records without waiting for Kafka."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from pulp_events.audit import AuditRecord, What, audit_record
from pulp_events.audit_log import AuditLog
from pulp_events.kafka import Servers

from pulp_api.auditing.repeats import Repeats

_LOOK_S: Final = 1.0
_SEARCH_S: Final = 30.0
"""The interval at which a missing topic is checked for again."""
_FLUSH_S: Final = 5.0
_log = logging.getLogger("pulp.audit")


class Audit:
    """Records what an auditor needs to know. Cheap: it never waits and never raises.

    The first of several records with the same kind, actor and address is written at once, the others once a minute as
    one record with a count.
    """

    def __init__(
        self,
        append: Callable[[AuditRecord], None],
        *,
        repeats: Repeats | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        fault: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._append, self._clock_s, self._fault = append, clock_s, fault
        self._repeats = repeats or Repeats()

    @property
    def fault(self) -> str | None:
        """Why nothing is audited, and how to fix it; None while it works."""
        return self._fault()

    def note(
        self,
        what: What,
        *,
        actor: str,
        address: str | None,
        detail: str = "",
        is_claimed: bool = False,
        method: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """Record that it happened now.

        `actor` is the name in events (`user:NAME`); with `is_claimed` nothing proved it. `method` is how
        the actor was authenticated, or tried to be.
        """
        record = audit_record(
            what,
            actor=actor,
            address=address,
            detail=detail,
            is_claimed=is_claimed,
            method=method,
            correlation_id=correlation_id,
        )
        first = self._repeats.note(record, self._clock_s())
        if first is not None:
            self._write(first)

    def note_change(
        self,
        what: What,
        *,
        actor: str,
        address: str | None,
        target: str,
        detail: str = "",
        method: str | None = None,
        correlation_id: str | None,
    ) -> None:
        """Record that `target` was changed now. Each change has its own record."""
        self._write(
            audit_record(
                what,
                actor=actor,
                address=address,
                target=target,
                detail=detail,
                method=method,
                correlation_id=correlation_id,
            )
        )

    def write_due(self) -> None:
        """Write the counts of the intervals that have ended."""
        for record in self._repeats.due(self._clock_s()):
            self._write(record)

    def write_rest(self) -> None:
        """Write all counts that are not written yet."""
        for record in self._repeats.rest():
            self._write(record)

    def _write(self, record: AuditRecord) -> None:
        """Writes to the topic, and to the process's log, which exists even without the topic."""
        fields = {
            "actor": record.actor,
            "auth": record.method or "-",
            "address": record.address,
            "count": record.count,
            "detail": record.detail,
        }
        _log.info(record.what, extra=fields)
        self._append(record)


@asynccontextmanager
async def auditing(servers: Servers, topic: str) -> AsyncIterator[Audit]:
    """An `Audit` on the topic. At the end it writes what remains, and gives Kafka five seconds to take it.

    Without the topic it works as well, and logs once that nothing is audited.
    """
    log = AuditLog(servers, topic)
    audit = Audit(log.append, fault=lambda: log.fault)
    await log.check()
    running = asyncio.create_task(_run(audit, log))
    try:
        yield audit
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        audit.write_rest()
        await log.close(_FLUSH_S)


async def _run(audit: Audit, log: AuditLog) -> None:
    looked_s = time.monotonic()
    while True:
        await asyncio.sleep(_LOOK_S)
        audit.write_due()
        log.poll()
        if time.monotonic() - looked_s >= _SEARCH_S:
            await log.check()
            looked_s = time.monotonic()
