"""The periodic look: what it finds is logged when it appears and when it goes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Never

from pulp_events.findings import Finding, Severity

from pulp_runtime.preconditions.looking import AWAY, Place, Report, look

PERIOD_S: Final = 60.0
_AWAY_S: Final = 5.0
"""The period while Kafka or Postgres is away, so that it is not told for long after it has come back."""
_LEVELS: Final = {Severity.FAULT: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.NOTE: logging.INFO}
_log = logging.getLogger("pulp.preconditions")


class Watch:
    """The last report."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.report = Report()

    async def look(self) -> None:
        """Look now; log what has appeared and what has gone."""
        before = {_key(each): each for each in self.report.findings}
        self.report = await look(self._place)
        now = {_key(each): each for each in self.report.findings}
        for key, finding in now.items():
            if key not in before:
                _log.log(_LEVELS[finding.severity], "%s", finding, extra={"check": finding.check})
        for key, finding in before.items():
            if key not in now:
                _log.info("mended: %s: %s", finding.subject, finding.wrong, extra={"check": finding.check})

    async def keep(self) -> Never:
        """Look every minute, for ever; a look that fails does not end it."""
        while True:
            try:
                await self.look()
            except Exception:  # a fault of a check must not end the process
                _log.exception("the preconditions could not be looked at")
            is_away = any(each.check in AWAY for each in self.report.findings)
            await asyncio.sleep(_AWAY_S if is_away else PERIOD_S)


@asynccontextmanager
async def watching(place: Place) -> AsyncIterator[Watch]:
    """A watch that is kept until the end."""
    watch = Watch(place)
    task = asyncio.create_task(watch.keep(), name="preconditions")
    try:
        yield watch
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _key(finding: Finding) -> tuple[str, str]:
    """What stays while the words change, such as a number in them."""
    return finding.check, finding.subject
