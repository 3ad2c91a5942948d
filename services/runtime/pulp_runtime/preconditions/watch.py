"""Periodic checks, which log findings when they appear and when they are gone."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Never

from pulp_events.findings import Finding, Severity

from pulp_runtime.preconditions.looking import AWAY, Place, Report, look

PERIOD_S: Final = 60.0
_AWAY_S: Final = 5.0
"""The period while Kafka or Postgres is away, so that its return is noticed soon."""
_LEVELS: Final = {Severity.FAULT: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.NOTE: logging.INFO}
_log = logging.getLogger("pulp.preconditions")


class Watch:
    """Checks repeatedly; `report` is the last result."""

    def __init__(self, place: Place, look: Callable[[Place], Awaitable[Report]] = look) -> None:
        """`look` makes the checks."""
        self._place = place
        self._look = look
        self.report = Report()

    async def look(self) -> None:
        """Check now, and log findings that are new or gone."""
        before = {_key(each): each for each in self.report.findings}
        self.report = await self._look(self._place)
        now = {_key(each): each for each in self.report.findings}
        for key, finding in now.items():
            if key not in before:
                _log.log(_LEVELS[finding.severity], "%s", finding, extra={"check": finding.check})
        for key, finding in before.items():
            if key not in now:
                _log.info("mended: %s: %s", finding.subject, finding.wrong, extra={"check": finding.check})

    async def keep(self) -> Never:
        """Check every minute, for ever; a failing check does not end it."""
        while True:
            try:
                await self.look()
            except Exception:  # a fault of a check must not end the process
                _log.exception("the preconditions could not be looked at")
            is_away = any(each.check in AWAY for each in self.report.findings)
            await asyncio.sleep(_AWAY_S if is_away else PERIOD_S)


@asynccontextmanager
async def watching(place: Place, look: Callable[[Place], Awaitable[Report]] = look) -> AsyncIterator[Watch]:
    """A watch that checks until the context ends; `look` makes the checks."""
    watch = Watch(place, look)
    task = asyncio.create_task(watch.keep(), name="preconditions")
    try:
        yield watch
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _key(finding: Finding) -> tuple[str, str]:
    """Identifies a finding while its text changes, such as a number in it."""
    return finding.check, finding.subject
