"""Faust's consumer on the process's own event loop.

Faust runs aiokafka on a second event loop in a thread, so that heartbeats go on while an agent blocks the first loop.
Nothing here blocks it for longer than it takes to fold a batch, and passing each batch between two loops is slow
(docs/notes/performance.md).
"""

from collections.abc import Callable
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from mode import Service
from mode.utils.futures import maybe_async


class SingleLoopConsumer(AIOKafkaConsumerThread):
    """Takes the place of Faust's consumer thread, on the event loop that creates it."""

    # Start and stop as a mode service that has no thread.
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
        """Leave the consumer group if others are in it, so that they take over the partitions at once.

        aiokafka keeps a member with a name of its own in the group until its session has timed out. That is right for
        the only member: a broker may wait some seconds for more members of a group that was empty.
        """
        if self._consumer is not None:
            if self._consumer._coordinator is not None and not _has_all(self._consumer):
                self._consumer._coordinator._group_instance_id = None
            await self._consumer.stop()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the function directly, since there is no thread to pass it to."""
        return await maybe_async(fun(*args, **kwargs))

    @Service.task
    async def _thread_keepalive(self) -> None:
        """Do nothing, since there is no second loop to keep awake."""


def _has_all(consumer: Any) -> bool:
    """Whether all partitions are assigned to this member."""
    topics = {topic: consumer.partitions_for_topic(topic) or set() for topic in consumer.subscription()}
    return len(consumer.assignment()) == sum(map(len, topics.values()))
