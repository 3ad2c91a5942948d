"""Faust's consumer without a thread of its own.

Faust gives aiokafka a thread with a second event loop, so that heartbeats go on while an agent keeps the first. Here
nothing keeps it for longer than the fold of a batch; and with one batch for each event, a fifth of the processor's time
went into handing over between the two.
"""

from collections.abc import Callable
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from mode import Service
from mode.utils.futures import maybe_async


class ConsumerOnLoop(AIOKafkaConsumerThread):
    """What Faust calls its consumer's thread, on the loop that it is made on."""

    # It starts and ends as a service without a thread does.
    wait_for_shutdown = False
    maybe_start = Service.maybe_start
    start = Service.start
    stop = Service.stop
    crash = Service.crash  # type: ignore[assignment]  # its argument has another name
    set_shutdown = Service.set_shutdown
    _stopped_set = Service._stopped_set
    _stop_children = Service._stop_children
    _stop_futures = Service._stop_futures
    _stop_exit_stacks = Service._stop_exit_stacks

    async def on_stop(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it here."""
        return await maybe_async(fun(*args, **kwargs))

    @Service.task
    async def _thread_keepalive(self) -> None:
        """There is no other loop to keep awake."""
