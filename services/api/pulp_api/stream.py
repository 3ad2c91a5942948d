"""The event stream: server-sent events that resume exactly, for any number of subscribers.

One thread tails the topic for the whole process; each subscriber has a bounded queue. One that does not keep up is let
go with its cursor: it comes back with `Last-Event-ID`, and nothing is lost.
"""

import asyncio
import contextlib
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw
from pulp_events.codec import decode, type_of
from pulp_events.errors import BadInput, LogError, TopicMismatch, UndecodableRecord
from pulp_events.reader import Reader, Record

_QUEUE: Final = 1000
_PING_S: Final = 15.0
RETRY: Final = b"retry: 1000\n\n"


class Cursor(NamedTuple):
    """Where a subscriber is: the topic, and the next offset of every partition."""

    topic_id: str
    offsets: tuple[int, ...]

    def encode(self) -> str:
        """As an event id: base64url of the JSON."""
        return urlsafe_b64encode(msgspec.json.encode((self.topic_id, self.offsets))).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises `BadInput` for what `encode` did not make."""
        try:
            padded = text + "=" * (-len(text) % 4)
            topic_id, offsets = msgspec.json.decode(urlsafe_b64decode(padded), type=tuple[str, tuple[int, ...]])
        except (NotBase64, ValueError, msgspec.MsgspecError) as error:
            raise BadInput(f"Last-Event-ID {text!r} is no id of this stream") from error
        return cls(topic_id, offsets)


class Feed:
    """One subscriber's queue. `is_behind` is set when it was full: the rest must be read from the log."""

    def __init__(self, start: Mapping[int, int]) -> None:
        self.start = dict(start)
        self.records: asyncio.Queue[Record | None] = asyncio.Queue(_QUEUE)
        self.is_behind = False


class Hub:
    """Tails the topic once for all subscribers of this process. `start` and `close` it in the event loop."""

    def __init__(self, bootstrap: str, topic: str, topic_id: str, partitions: int) -> None:
        self.topic_id = topic_id
        self.partitions = partitions
        self._bootstrap = bootstrap
        self._topic = topic
        self._feeds: set[Feed] = set()
        self._positions: dict[int, int] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop = asyncio.get_running_loop()

    def start(self, ends: Mapping[int, int]) -> None:
        """Tail from the ends on."""
        self._positions = dict(ends)
        self._thread = threading.Thread(target=self._tail, args=(dict(ends),), name="event-tail", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """End every stream, with a hint to come back."""
        self._closing.set()
        for feed in self._feeds:
            with contextlib.suppress(asyncio.QueueFull):
                feed.records.put_nowait(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    @property
    def is_closing(self) -> bool:
        """Whether streams are to end."""
        return self._closing.is_set()

    async def records(self, cursor: Cursor) -> AsyncIterator[Record | None]:
        """All records after the cursor: from the log until it meets the tail, then live. None now and then: a ping.

        Ends when the hub closes.
        """
        offsets = dict(enumerate(cursor.offsets))
        while not self.is_closing:
            feed = Feed(self._positions)
            self._feeds.add(feed)
            try:
                async for record in self._replay(offsets, feed.start):
                    offsets[record.partition] = record.offset + 1
                    yield record
                async for live in self._live(feed):
                    if live is not None:
                        if live.offset < offsets[live.partition]:
                            continue
                        offsets[live.partition] = live.offset + 1
                    yield live
            finally:
                self._feeds.discard(feed)

    async def _live(self, feed: Feed) -> AsyncIterator[Record | None]:
        while not self.is_closing:
            try:
                async with asyncio.timeout(_PING_S if not feed.is_behind else 0):
                    record = await feed.records.get()
            except TimeoutError:
                if feed.is_behind:
                    return
                record = None
            yield record

    async def _replay(self, start: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Record]:
        missing = {partition: offset for partition, offset in start.items() if offset < ends[partition]}
        if not missing:
            return
        reader = await asyncio.to_thread(Reader, self._bootstrap, self._topic, missing)
        try:
            batches = reader.until({partition: ends[partition] for partition in missing}, most=500)
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                for record in batch[1]:
                    yield record
        finally:
            await asyncio.to_thread(reader.close)

    def _tail(self, start: dict[int, int]) -> None:
        while not self._closing.is_set():
            try:
                with Reader(self._bootstrap, self._topic, start) as reader:
                    while not self._closing.is_set():
                        for records in reader.poll(0.2, most=1000).values():
                            start[records[-1].partition] = records[-1].offset + 1
                            self._loop.call_soon_threadsafe(self._hand_out, records)
            except LogError:
                self._closing.wait(1.0)

    def _hand_out(self, records: list[Record]) -> None:
        self._positions[records[-1].partition] = records[-1].offset + 1
        for feed in self._feeds:
            for record in records:
                if feed.is_behind:
                    break
                try:
                    feed.records.put_nowait(record)
                except asyncio.QueueFull:
                    feed.is_behind = True


Wanted = Callable[[str, str | None, int], bool]
"""Whether (type, task id, broker time in ms) is wanted."""


def check_cursor(cursor: Cursor, hub: Hub) -> None:
    """Raises `TopicMismatch` for a cursor of another topic."""
    if cursor.topic_id != hub.topic_id or len(cursor.offsets) != hub.partitions:
        raise TopicMismatch("the topic was made anew: this Last-Event-ID means nothing any more. Start without one")


async def messages(hub: Hub, cursor: Cursor, wanted: Wanted) -> AsyncIterator[bytes]:
    """The stream's bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    offsets = list(cursor.offsets)
    yield RETRY
    async for record in hub.records(cursor):
        if record is None:
            yield b": ping\n\n"
            continue
        offsets[record.partition] = record.offset + 1
        name, task_id, event = _content(record)
        if wanted(name, task_id, record.timestamp_ms):
            place = Cursor(hub.topic_id, tuple(offsets)).encode()
            data = msgspec.json.encode(
                {
                    "partition": record.partition,
                    "offset": record.offset,
                    "timestamp_ms": record.timestamp_ms,
                    "event": event,
                }
            )
            yield f"id: {place}\nevent: {name}\ndata: ".encode() + data + b"\n\n"
    yield RETRY


def _content(record: Record) -> tuple[str, str | None, Raw | None]:
    try:
        event = decode(record.key, record.value)
    except UndecodableRecord:
        return "undecodable", None, None
    compact = (
        msgspec.json.encode(msgspec.json.decode(record.value or b"null"))
        if b"\n" in (record.value or b"")
        else record.value
    )
    return type_of(event), str(event.task_id), Raw(compact or b"null")
