"""Ending though Faust does not: it may wait for a minute, as for a broker that does not answer."""

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


async def stop(service: _Stoppable, limit_s: float, leave: Callable[[], None]) -> None:
    """Stop a service; after the limit call `leave`, and return without it. All that counts is in Postgres by then."""
    stopping = asyncio.create_task(service.stop())
    _, late = await asyncio.wait([stopping], timeout=limit_s)
    if late:
        _log.warning("the stream processor does not stop within %g s: the process ends without it", limit_s)
        leave()
    else:
        stopping.result()


def end_process() -> None:
    """Have this process end in some seconds, time enough to say why, even if a thread or a task of it hangs."""
    timer = threading.Timer(_REPORT_S, os._exit, [os.EX_SOFTWARE])
    timer.daemon = True
    timer.start()
