"""A processor ends, whether or not its stream processor does."""

import asyncio
import subprocess
import sys

import pytest
from pulp_processor.consuming.shutdown import stop


class Service:
    """A service that ends immediately, with an error, or never."""

    def __init__(self, *, error: Exception | None = None, hangs: bool = False) -> None:
        self._error = error
        self._hangs = hangs

    async def stop(self) -> None:
        if self._hangs:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error


async def test_a_service_that_stops_is_all_that_is_waited_for() -> None:
    left: list[bool] = []
    await stop(Service(), 60, lambda: left.append(True))
    assert left == []
    with pytest.raises(RuntimeError, match="why"):
        await stop(Service(error=RuntimeError("why")), 60, lambda: left.append(True))
    assert left == []


async def test_one_that_does_not_stop_is_left() -> None:
    left: list[bool] = []
    await stop(Service(hangs=True), 0.05, lambda: left.append(True))
    assert left == [True]


def test_a_process_ends_though_one_of_its_threads_does_not() -> None:
    program = (
        "import threading\n"
        "from pulp_processor.consuming import shutdown\n"
        "shutdown._REPORT_S = 0.1\n"
        "shutdown.end_process()\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 70
