"""Server-sent events that resume exactly (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import msgspec
from pulp_events.errors import BadInput, LogError, TopicMismatch
from pulp_events.task import Position

from pulp_api.streaming.hub import PING_S, Hub, Item

FAILURE: Final = "failure"
"""The event that ends a stream that cannot go on."""

_RIGHTS_S: Final = 4.5
"""So long a stream goes on before it is asked again whether its user may have it. Below the hub's own interval."""
_CHUNK_BYTES: Final = 64 * 1024
"""Of a backlog so many bytes are made ready at once: a slow subscriber holds no more."""

Wanted = Callable[[Item], bool]
Ended = Callable[[], Awaitable[str | None]]
"""Why the stream has to end now; None if it may go on."""


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
        except (NotBase64, ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise BadInput(f"Last-Event-ID {text!r} is no id of this stream") from error
        return cls(topic_id, offsets)


def check_cursor(cursor: Cursor, topic_id: str, ends: Mapping[int, int]) -> None:
    """Raises `TopicMismatch` for a cursor of another topic, or one that is ahead of the log."""
    if cursor.topic_id != topic_id or len(cursor.offsets) != len(ends):
        raise TopicMismatch("the topic was made anew: this Last-Event-ID means nothing any more. Start without one")
    for partition, offset in enumerate(cursor.offsets):
        if not 0 <= offset <= ends[partition]:
            raise TopicMismatch(
                f"this Last-Event-ID is at {Position(partition, offset)}, and the log ends at"
                f" {Position(partition, ends[partition])}: it"
                " was cut at its end, or the topic was made anew. Start without one"
            )


async def messages(hub: Hub, cursor: Cursor, wanted: Wanted, ended: Ended) -> AsyncIterator[bytes]:
    """The stream's bytes.

    Every id is a cursor just behind its event. It comes at the start and with every ping too, so that a subscriber
    whose filter lets nothing through, or that saw nothing yet, resumes where it was as well. `ended` is asked every few
    seconds: a text ends the stream, with that text.
    """
    offsets = list(cursor.offsets)
    clock = asyncio.get_running_loop()

    def place() -> bytes:
        return f"id: {Cursor(cursor.topic_id, tuple(offsets)).encode()}\n".encode()

    yield b"retry: 1000\n" + place() + b"\n"
    sent_at = asked_at = clock.time()
    try:
        async for items in hub.items(dict(enumerate(cursor.offsets))):
            if clock.time() - asked_at >= _RIGHTS_S:
                if (why := await ended()) is not None:
                    yield _failure(why)
                    return
                asked_at = clock.time()
            chunk = bytearray()
            for item in items:
                offsets[item.partition] = item.offset + 1
                if wanted(item):
                    chunk += place() + f"event: {item.type}\ndata: ".encode() + item.data + b"\n\n"
                if len(chunk) >= _CHUNK_BYTES:
                    yield bytes(chunk)
                    chunk, sent_at = bytearray(), clock.time()
            if not chunk and clock.time() - sent_at >= PING_S * 0.6:
                chunk += place() + b": ping\n\n"
            if chunk:
                yield bytes(chunk)
                sent_at = clock.time()
    except LogError as error:
        yield _failure(str(error))
        return
    yield b"retry: 1000\n" + place() + b"\n"


def _failure(why: str) -> bytes:
    return f"event: {FAILURE}\ndata: ".encode() + msgspec.json.encode({"event": None, "detail": why}) + b"\n\n"
