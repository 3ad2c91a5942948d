"""The Faust application: it reads batches, hands each to its partition's writer, and acknowledges what is written."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import faust
from faust.types import TP
from pulp_events import admin
from pulp_events.errors import OffsetOutOfRange, TopicMismatch

from pulp_processor.settings import Settings
from pulp_processor.transport import SCHEME
from pulp_processor.writer import Writer

_log = logging.getLogger("pulp.processor")


class ProcessorApp(faust.App):
    """One processor: the writers of the partitions that the group has assigned to it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            f"{settings.topics.events}.processor",
            broker=[f"{SCHEME}://{server.strip()}" for server in settings.kafka.split(",")],
            broker_max_poll_records=settings.batch_records,
            consumer_auto_offset_reset="none",
            consumer_group_instance_id=settings.instance,
            store="memory://",
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            broker_commit_interval=2.0,
            broker_session_timeout=10.0,
            broker_heartbeat_interval=2.0,
        )
        self.settings = settings
        self.writers: dict[int, Writer] = {}
        self.on_committed: Callable[[], None] = lambda: None
        """Called after every commit."""
        self.topic_of_events = self.topic(settings.topics.events, key_serializer="raw", value_serializer="raw")
        self.agent(self.topic_of_events, name="projector")(self._project)

    @property
    def owned(self) -> set[int]:
        """The partitions that this processor writes."""
        return set(self.writers)

    async def locate(self, partitions: set[int]) -> Mapping[int, int]:
        """The positions in Postgres of newly assigned partitions; makes their writers, ends those of others.

        Raises `OffsetOutOfRange` or `TopicMismatch` where the log does not hold a position: nothing is skipped.
        """
        for partition in self.owned - partitions:
            await self.writers.pop(partition).close()
        for partition in partitions - self.owned:
            self.writers[partition] = Writer(self.settings.postgres, partition, self._seek)
        positions = {partition: await self.writers[partition].locate() for partition in partitions}
        await self.loop.run_in_executor(None, self._check, positions)
        _log.info("reading from the positions in Postgres", extra={"positions": positions})
        return positions

    async def close_writers(self) -> None:
        """Finish the batches in flight and close the connections."""
        for writer in self.writers.values():
            await writer.close()
        self.writers.clear()

    async def _project(self, stream: Any) -> None:
        async for event in stream.noack().events():
            writer = self.writers.get(event.message.partition)
            if writer is None:
                continue  # revoked meanwhile: its new owner reads it
            await writer.put(event.value, self._acknowledging(event))

    def _acknowledging(self, event: Any) -> Callable[[], None]:
        def ack() -> None:
            event.ack()
            self.on_committed()

        return ack

    async def _seek(self, partition: int, offset: int) -> None:
        tp = TP(self.settings.topics.events, partition)
        if tp in self.consumer.assignment():
            await self.consumer.seek_wait({tp: offset})

    def _check(self, positions: Mapping[int, int]) -> None:
        topic, kafka = self.settings.topics.events, self.settings.kafka
        if not positions:
            return
        count = max(positions) + 1
        begins, ends = admin.begin_offsets(kafka, topic, count), admin.end_offsets(kafka, topic, count)
        for partition, offset in positions.items():
            if offset < begins[partition]:
                raise OffsetOutOfRange(
                    f"{topic}/{partition} begins at offset {begins[partition]}, but {offset} comes next: retention has"
                    " cut events that were never projected. Restore them, or rebuild from an archive"
                )
            if offset > ends[partition]:
                raise TopicMismatch(
                    f"{topic}/{partition} ends at offset {ends[partition]}, but {offset} comes next: the log was"
                    " truncated or restored from an older copy. Events that were projected are not in the log any more"
                )
