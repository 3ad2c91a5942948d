"""Where the log begins, for the many streams that resume at the same time."""

import asyncio
from collections.abc import Mapping
from typing import Final

from pulp_events.log import TimedLog

_KEPT_S: Final = 5.0


class FirstOffsets:
    """The first offset of each partition that is still in the log, asked once for all who need it.

    An answer may be some seconds old. Offsets only grow, so an old one never refuses a place that the log has.
    """

    def __init__(self, log: TimedLog) -> None:
        self._log = log
        self._asking: asyncio.Task[dict[int, int]] | None = None
        self._asked_at_s = 0.0

    async def read(self) -> Mapping[int, int]:
        """By partition; raises `LogUnavailable`."""
        if self._asking is None or self._is_over(self._asking):
            self._asked_at_s = asyncio.get_running_loop().time()
            self._asking = asyncio.create_task(self._log.offsets_since(0))
        return await asyncio.shield(self._asking)  # the others need it if one of them goes

    def _is_over(self, asking: "asyncio.Task[dict[int, int]]") -> bool:
        if not asking.done():
            return False
        is_old = asyncio.get_running_loop().time() - self._asked_at_s > _KEPT_S
        return is_old or asking.cancelled() or asking.exception() is not None
