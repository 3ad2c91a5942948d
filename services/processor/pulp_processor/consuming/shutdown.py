"""Ending the process even if Faust does not stop: it may wait a minute for a broker that does not answer."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Final, Protocol

_REPORT_S: Final = 5.0
_log = logging.getLogger("pulp.processor")


class _Stoppable(Protocol):
    async def stop(self) -> None: ...


async def stop(service: _Stoppable, limit_s: float, give_up: Callable[[], None]) -> None:
    """Stop a service. If that takes longer than the limit, call `give_up` and return.

    Call it once everything that matters is in Postgres. Raises what the service's `stop` raises.
    """
    stopping = asyncio.create_task(service.stop())
    _, late = await asyncio.wait([stopping], timeout=limit_s)
    if late:
        _log.warning("the stream processor did not stop within %g s: the process ends without it", limit_s)
        give_up()
    else:
        stopping.result()


def end_process() -> None:
    """End this process in some seconds, even if one of its threads or tasks hangs; until then it can log why."""
    timer = threading.Timer(_REPORT_S, os._exit, [os.EX_SOFTWARE])
    timer.daemon = True
    timer.start()
