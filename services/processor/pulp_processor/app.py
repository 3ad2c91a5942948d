"""The Faust application: it reads batches, and hands each to its partition's writer."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Never, Protocol

import faust
from aiokafka.errors import IllegalStateError
from faust.types import TP
from pulp_events import admin
from pulp_events.errors import LogUnavailable, OffsetOutOfRange, TopicMismatch
from pulp_events.kafka import Kafka
from pulp_events.reader import Record
from pulp_runtime.heap import give_back

from pulp_processor.consuming.aiokafka_settings import faust_credentials
from pulp_processor.consuming.transport import SCHEME
from pulp_processor.consuming.undecodable_headers import read_with_librdkafka
from pulp_processor.settings import Settings
from pulp_processor.watchdog import Standing
from pulp_processor.writer import Writer

_FETCHED_BYTES: Final = 512 * 1024
"""Of one partition at once, compressed: a batch or two, so that no more of them wait in memory."""
_ENOUGH_BATCHES: Final = 3
"""Full ones in hand, of all partitions: one is made into rows, and one or two are with Postgres. More would be memory
only; with two it is a tenth slower."""
_log = logging.getLogger("pulp.processor")


class ProcessorApp(faust.App):
    """One processor: the writers of the partitions that the group has assigned to it.

    `fault` becomes the error of the first writer that cannot go on. `topic_id` is the topic's that the positions
    belong to.
    """

    def __init__(self, settings: Settings, topic_id: str) -> None:
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
            broker_heartbeat_interval=settings.session_timeout_s / 5,
        )
        self.settings = settings
        self.fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.committed: Callable[[], None] = lambda: None
        """Called after every commit."""
        self.writers: dict[int, Writer] = {}
        self._topic_id = topic_id
        self._kafka = admin.connect(settings.kafka)
        self._room = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._placing: asyncio.Task[None] | None = None
        # No acknowledgements: what is done is what Postgres has.
        topic = self.topic(settings.topics.events, key_serializer="raw", value_serializer="raw", acks=False)
        self.agent(topic, name="projector")(self._hand_over)

    @property
    def owned(self) -> set[int]:
        """The partitions that this processor writes."""
        return set(self.writers)

    def standings(self) -> dict[int, Standing]:
        """Where each owned partition is."""
        return {
            partition: Standing(writer.next_offset, writer.is_waiting) for partition, writer in self.writers.items()
        }

    async def watch_topic(self, period_s: float) -> Never:
        """Look for ever whether the topic is still the same: its offsets alone do not tell. Raises `TopicMismatch`."""
        while True:
            await asyncio.sleep(period_s)
            with contextlib.suppress(LogUnavailable):  # the watchdog, which asks as often, says so
                await asyncio.to_thread(self._check_topic)

    async def watch_positions(self, period_s: float) -> Never:
        """Look for ever whether Postgres still has what was written to partitions in which nothing happens.

        When nothing happens in any, the memory that a burst has taken is given back.
        """
        seen: dict[int, int] = {}
        was_busy = False
        while True:
            await asyncio.sleep(period_s)
            idle = [writer for partition, writer in self.writers.items() if seen.get(partition) == writer.next_offset]
            await asyncio.gather(*(writer.look() for writer in idle))
            is_busy = len(idle) < len(self.writers)
            if was_busy and not is_busy:
                give_back()
            was_busy = is_busy
            seen = {partition: writer.next_offset for partition, writer in self.writers.items()}

    async def close_writers(self) -> None:
        """Finish the batches that are being written, and close the connections."""
        if self._placing is not None:
            self._placing.cancel()
        await asyncio.gather(*self._closing, *(writer.close() for writer in self.writers.values()))

    # What the consumer asks (transport.Owner).

    def assigned(self, partitions: set[int]) -> None:
        """Write these partitions and no others, each from its position in Postgres on. Waits for neither of the two.

        `fault` becomes `OffsetOutOfRange` or `TopicMismatch` where the log does not hold a position.
        """
        if self._placing is not None:
            self._placing.cancel()
        for partition in self.owned - partitions:
            self._close(self.writers.pop(partition))
        for partition in partitions - self.owned:
            self.writers[partition] = Writer(self.settings.postgres, partition, self)
        for writer in self.writers.values():
            writer.pause()
        self._placing = asyncio.create_task(self._place(), name="placing")

    def with_room(self) -> Mapping[int, int]:
        """Partitions whose writers want another batch, each with its epoch."""
        enough = _ENOUGH_BATCHES * self.settings.batch_records
        return {partition: self.writers[partition].epoch for partition in wanting(self.writers, enough)}

    async def wait_for_room(self, timeout_s: float) -> None:
        """Returns when a writer has taken a batch out of its queue, or written one, or after the timeout."""
        self._room.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._room.wait()

    def positions(self) -> Mapping[int, int]:
        """Partition → next offset, as committed in Postgres."""
        return {partition: writer.next_offset for partition, writer in self.writers.items() if writer.is_located}

    async def read_apart(self, partitions: set[int]) -> Mapping[int, Sequence[Record]]:
        """What comes next in these partitions, read by another client than aiokafka."""
        start = {partition: offset for partition, offset in self.positions().items() if partition in partitions}
        settings = self.settings
        return await read_with_librdkafka(settings.kafka, settings.topics.events, start, settings.batch_records)

    # What the writers tell (writer.Listener).

    async def seek(self, partition: int, offset: int) -> None:
        """Read the partition from the offset on, unless it is another processor's now."""
        with contextlib.suppress(IllegalStateError):
            await self.consumer.seek_wait({TP(self.settings.topics.events, partition): offset})

    def on_room(self) -> None:
        """A writer has taken a batch out of its queue, or written one."""
        self._room.set()

    def on_committed(self) -> None:
        """A batch is committed."""
        self.committed()

    def on_fault(self, error: Exception) -> None:
        """A writer has ended."""
        if not self.fault.done():
            self.fault.set_exception(error)

    async def _hand_over(self, stream: Any) -> None:
        async for event in stream.events():
            writer = self.writers.get(event.message.partition)
            if writer is not None:  # else it was revoked meanwhile, and its new owner reads it
                writer.put(event.value)
            event.value.records.clear()  # Faust holds on to a message until the next one: not to all of its records

    def _close(self, writer: Writer) -> None:
        task = asyncio.create_task(writer.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _place(self) -> None:
        """Seek to the positions in Postgres, once the log is seen to hold them."""
        if not self.writers:
            return
        try:
            found = await asyncio.gather(*(writer.locate() for writer in self.writers.values()))
            positions = dict(zip(self.writers, found, strict=True))
            await self._check_log(positions)
            topic = self.settings.topics.events
            await self.consumer.seek_wait({TP(topic, partition): offset for partition, offset in positions.items()})
        except IllegalStateError:
            return  # revoked meanwhile; the next assignment begins anew
        except Exception as error:  # the edge of this task: the process ends with it
            self.on_fault(error)
            return
        for writer in self.writers.values():
            writer.resume()
        self.on_room()
        _log.info("reading from the positions in Postgres", extra={"positions": positions})

    def _create_directories(self) -> None:
        """Faust would make folders for tables, in whatever folder this process was started."""

    async def _check_log(self, positions: Mapping[int, int]) -> None:
        while positions:
            try:
                await asyncio.to_thread(self._check, positions)
            except LogUnavailable as error:
                _log.warning("Kafka does not tell about its topic, asking again: %s", error)
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
                f"topic {info.name} was made anew (id {info.topic_id}, not {self._topic_id}): its offsets mean"
                " something else. Use a fresh database for a fresh topic"
            )
        return info


class Wanting(Protocol):
    """What of a writer decides whether it gets a batch."""

    @property
    def has_room(self) -> bool:
        """It wants another batch."""
        ...

    @property
    def held(self) -> int:
        """Records that it has, and is about to write."""
        ...


def wanting(writers: Mapping[int, Wanting], enough: int) -> list[int]:
    """The partitions whose writers get another batch: all that want one, unless `enough` records are in hand."""
    if sum(writer.held for writer in writers.values()) >= enough:
        return []
    return [partition for partition, writer in writers.items() if writer.has_room]


def check_range(topic: str, positions: Mapping[int, int], begins: Mapping[int, int], ends: Mapping[int, int]) -> None:
    """Raises `OffsetOutOfRange` if the log does not hold what comes next after a position, or never held it."""
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
    """The consumer group of the processors of one installation."""
    return f"{settings.topics.events}.processor"
