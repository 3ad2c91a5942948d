"""The Faust application: it reads batches and passes each to the writer of its partition."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final, Never

from aiokafka.errors import IllegalStateError
from faust.types import TP
from pulp_events import admin
from pulp_events.errors import LogUnavailable, OffsetOutOfRange, TopicMismatch
from pulp_events.kafka import Kafka
from pulp_events.reader import Record
from pulp_runtime.heap import give_back
from pulp_runtime.telemetry.metric import NO_METER, Meter
from pulp_runtime.telemetry.tracing import Tracing

from pulp_processor.consuming.aiokafka_settings import faust_credentials
from pulp_processor.consuming.flow import FlowControl, NextFetch
from pulp_processor.consuming.internals import SCHEME, AppWithoutFolders
from pulp_processor.consuming.lag import InHand
from pulp_processor.consuming.traces import ProjectionTraces
from pulp_processor.consuming.undecodable_headers import read_with_librdkafka
from pulp_processor.consuming.watchdog import PartitionProgress
from pulp_processor.consuming.writer import PartitionWriter
from pulp_processor.settings import Settings

_FETCHED_BYTES: Final = 512 * 1024
"""Upper bound on one fetch of a partition, compressed: one or two batches, so that few wait in memory."""
_HEARTBEAT_S: Final = 0.3
"""The longest pause between heartbeats: their answers tell a member that another one has left."""
_log = logging.getLogger("pulp.processor")


class ProcessorApp(AppWithoutFolders):
    """One processor: it owns the writers of the partitions that the consumer group has assigned to it.

    `fault` gets the error of the first writer that cannot go on. `topic_id` is the id of the topic to which the
    positions in Postgres belong. Call `internals.install` before the app starts.
    """

    def __init__(
        self, settings: Settings, topic_id: str, *, meter: Meter = NO_METER, tracing: Tracing | None = None
    ) -> None:
        kafka = Kafka.of(settings.kafka)
        super().__init__(
            group_of(settings),
            broker=[f"{SCHEME}://{server.strip()}" for server in kafka.bootstrap.split(",")],
            broker_credentials=faust_credentials(kafka.security),
            broker_max_poll_records=settings.batch_records,
            consumer_max_fetch_size=_FETCHED_BYTES,
            consumer_auto_offset_reset="none",
            consumer_group_instance_id=settings.instance,
            store="memory://",
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            broker_commit_interval=2.0,
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=min(settings.session_timeout_s / 5, _HEARTBEAT_S),
        )
        self.settings = settings
        self.fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.after_commit: Callable[[], None] = lambda: None
        """Called after every commit."""
        self.writers: dict[int, PartitionWriter] = {}
        self._topic_id = topic_id
        self._meter = meter
        self._traces = (
            None if tracing is None else ProjectionTraces(tracing, settings.topics.events, group_of(settings))
        )
        self._kafka = admin.connect(settings.kafka)
        self._flow = FlowControl(settings.batch_records)
        self._capacity = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._seeking: asyncio.Task[None] | None = None
        self._is_closing = False
        # No acknowledgements: the positions in Postgres say what has been processed.
        topic = self.topic(settings.topics.events, key_serializer="raw", value_serializer="raw", acks=False)
        self.agent(topic, name="projector")(self._pass_to_writers)

    @property
    def owned(self) -> set[int]:
        """The partitions that this processor writes."""
        return set(self.writers)

    def progress(self) -> dict[int, PartitionProgress]:
        """How far each owned partition has been projected."""
        return {
            partition: PartitionProgress(writer.next_offset, writer.is_waiting_for_postgres)
            for partition, writer in self.writers.items()
        }

    def in_hand(self) -> dict[int, InHand]:
        """What the writers have committed and received, for partitions with a known position."""
        return {partition: writer.in_hand() for partition, writer in self.writers.items() if writer.is_located}

    async def watch_topic(self, period_s: float) -> Never:
        """Check forever that the topic was not deleted and created again, which offsets do not show. Raises
        `TopicMismatch`.
        """
        while True:
            await asyncio.sleep(period_s)
            with contextlib.suppress(LogUnavailable):  # the watchdog logs it
                await asyncio.to_thread(self._check_topic)

    async def watch_positions(self, period_s: float) -> Never:
        """Check forever that Postgres still has what was written to idle partitions.

        Once all partitions are idle, return the memory of the last burst to the system.
        """
        before: dict[int, int] = {}
        was_busy = False
        while True:
            await asyncio.sleep(period_s)
            idle = [writer for partition, writer in self.writers.items() if before.get(partition) == writer.next_offset]
            await asyncio.gather(*(writer.check_position() for writer in idle))
            is_busy = len(idle) < len(self.writers)
            if was_busy and not is_busy:
                give_back()
            was_busy = is_busy
            before = {partition: writer.next_offset for partition, writer in self.writers.items()}

    async def close_writers(self) -> None:
        """Finish the batches in flight and close the connections. What is assigned later is not written."""
        self._is_closing = True
        if self._seeking is not None:
            self._seeking.cancel()
            await asyncio.wait([self._seeking])
        await asyncio.gather(*self._closing, *(writer.close() for writer in self.writers.values()))

    # For the consumer (`ConsumerOwner`).

    def assigned(self, partitions: set[int]) -> None:
        """Write exactly these partitions, each from its position in Postgres. Returns at once.

        `fault` gets `OffsetOutOfRange` or `TopicMismatch` if the log does not hold a position.
        """
        if self._is_closing:
            return  # the group may be rebalanced until this processor has left it
        if self._seeking is not None:
            self._seeking.cancel()
        for partition in self.owned - partitions:
            self._close(self.writers.pop(partition))
        for partition in partitions - self.owned:
            self.writers[partition] = PartitionWriter(
                self.settings.postgres,
                partition,
                self,
                most_parked=self.settings.most_parked_tasks,
                meter=self._meter,
                traces=self._traces,
            )
        for writer in self.writers.values():
            writer.pause()
        self._seeking = asyncio.create_task(self._seek_to_positions(), name="seek-to-positions")

    def next_fetch(self, active: Set[int], longest_s: float) -> NextFetch:
        """Which of the active partitions to fetch, and how long to wait for records."""
        loads = {partition: writer.load() for partition, writer in self.writers.items()}
        return self._flow.next_fetch(loads, active, longest_s)

    async def wait_for_capacity(self, timeout_s: float) -> None:
        """Return when a writer has dequeued or committed a batch, or after the timeout."""
        self._capacity.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._capacity.wait()

    def positions(self) -> Mapping[int, int]:
        """Partition → next offset, as committed in Postgres."""
        return {partition: writer.next_offset for partition, writer in self.writers.items() if writer.is_located}

    async def read_with_librdkafka(self, partitions: set[int]) -> Mapping[int, Sequence[Record]]:
        """The next records of these partitions, read without aiokafka."""
        start = {partition: offset for partition, offset in self.positions().items() if partition in partitions}
        settings = self.settings
        return await read_with_librdkafka(settings.kafka, settings.topics.events, start, settings.batch_records)

    # For the writers (`WriterListener`).

    async def seek(self, partition: int, offset: int) -> None:
        """Read the partition from the offset on, unless it has been revoked."""
        with contextlib.suppress(IllegalStateError):
            await self.consumer.seek_wait({TP(self.settings.topics.events, partition): offset})

    def on_capacity(self) -> None:
        """A writer has dequeued or committed a batch."""
        self._capacity.set()

    def on_committed(self) -> None:
        """A batch is committed."""
        self.after_commit()

    def on_fault(self, error: Exception) -> None:
        """A writer has failed for good."""
        if not self.fault.done():
            self.fault.set_exception(error)

    async def _pass_to_writers(self, stream: Any) -> None:
        async for event in stream.events():
            writer = self.writers.get(event.message.partition)
            if writer is not None:  # otherwise the partition was revoked meanwhile, and its new owner reads the batch
                writer.put(event.value)
            event.value.records.clear()  # Faust keeps a message until the next one: free its records now

    def _close(self, writer: PartitionWriter) -> None:
        task = asyncio.create_task(writer.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _seek_to_positions(self) -> None:
        """Seek to the positions in Postgres, after checking that the log holds them."""
        if not self.writers:
            return
        try:
            found = await asyncio.gather(*(writer.locate() for writer in self.writers.values()))
            positions = dict(zip(self.writers, found, strict=True))
            await self._check_log(positions)
            topic = self.settings.topics.events
            await self.consumer.seek_wait({TP(topic, partition): offset for partition, offset in positions.items()})
        except IllegalStateError:
            return  # revoked meanwhile: the next assignment seeks again
        except Exception as error:  # the edge of this task: the process ends with it
            self.on_fault(error)
            return
        for writer in self.writers.values():
            writer.resume()
        self.on_capacity()
        _log.info("reading from the positions in Postgres", extra={"positions": positions})

    async def _check_log(self, positions: Mapping[int, int]) -> None:
        while positions:
            try:
                await asyncio.to_thread(self._check, positions)
            except LogUnavailable as error:
                _log.warning("cannot describe the topic, trying again: %s", error)
                await asyncio.sleep(1)
            else:
                break

    def _check(self, positions: Mapping[int, int]) -> None:
        topic = self.settings.topics.events
        partitions = self._check_topic().partitions
        check_range(
            topic,
            positions,
            admin.begin_offsets(self._kafka, topic, partitions),
            admin.end_offsets(self._kafka, topic, partitions),
        )

    def _check_topic(self) -> admin.TopicInfo:
        self._kafka.client.poll(0)
        info = admin.describe(self._kafka, self.settings.topics.events)
        if info.topic_id != self._topic_id:
            raise TopicMismatch(
                f"topic {info.name} was created again (id {info.topic_id}, not {self._topic_id}): its offsets mean"
                " something else. Use a fresh database for a fresh topic"
            )
        return info


def check_range(topic: str, positions: Mapping[int, int], begins: Mapping[int, int], ends: Mapping[int, int]) -> None:
    """Raises `OffsetOutOfRange` if the log no longer holds, or does not reach, the next offset of a partition."""
    for partition, offset in positions.items():
        if offset < begins[partition]:
            raise OffsetOutOfRange(
                f"{topic}/{partition} begins at offset {begins[partition]}, but {offset} comes next: retention has"
                " cut events that were never projected. Restore them, or rebuild from an archive"
            )
        if offset > ends[partition]:
            raise OffsetOutOfRange(
                f"{topic}/{partition} ends at offset {ends[partition]}, but {offset} comes next: the log was"
                " truncated or restored from an older copy. Events that were projected are not in the log any more"
            )


def group_of(settings: Settings) -> str:
    """The consumer group that all processors of one installation join."""
    return f"{settings.topics.events}.processor"
