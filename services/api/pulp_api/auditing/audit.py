"""The API's part of the audit: noting what happens, without waiting for Kafka."""

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
"""A topic that is missing is looked for again."""
_FLUSH_S: Final = 5.0
_log = logging.getLogger("pulp.audit")


class Audit:
    """Notes what an auditor wants to know. Cheap: it never waits and never raises.

    What repeats (same kind, actor and address) is written at once the first time, and after that once a minute with a
    count.
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
        """Why nothing is audited, and what mends it; None while it works."""
        return self._fault()

    def note(
        self,
        what: What,
        *,
        actor: str,
        address: str | None,
        detail: str = "",
        is_claimed: bool = False,
        correlation_id: str | None = None,
    ) -> None:
        """Note that it happened now.

        `actor` is as events name it (`user:NAME`); with `is_claimed` no password proved it.
        """
        record = audit_record(
            what,
            actor=actor,
            address=address,
            detail=detail,
            is_claimed=is_claimed,
            correlation_id=correlation_id,
        )
        first = self._repeats.note(record, self._clock_s())
        if first is not None:
            self._write(first)

    def note_change(
        self, what: What, *, actor: str, address: str | None, target: str, detail: str = "", correlation_id: str | None
    ) -> None:
        """Note that `target` was changed now. Every change has a record of its own."""
        self._write(
            audit_record(
                what, actor=actor, address=address, target=target, detail=detail, correlation_id=correlation_id
            )
        )

    def write_due(self) -> None:
        """Write what was counted, of every interval that has ended."""
        for record in self._repeats.due(self._clock_s()):
            self._write(record)

    def write_rest(self) -> None:
        """Write all that was counted."""
        for record in self._repeats.rest():
            self._write(record)

    def _write(self, record: AuditRecord) -> None:
        """To the topic, and to the log, which an installation without the topic has all the same."""
        told = {"actor": record.actor, "address": record.address, "count": record.count, "detail": record.detail}
        _log.info(record.what, extra=told)
        self._append(record)


@asynccontextmanager
async def auditing(servers: Servers, topic: str) -> AsyncIterator[Audit]:
    """An `Audit` on the topic. At the end all that was noted is written, as far as Kafka takes it in five seconds.

    Without the topic it works all the same and says once in the log that nothing is audited.
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
