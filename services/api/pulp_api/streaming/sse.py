"""Server-sent events that resume exactly (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from typing import Final

import msgspec
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pulp_events.cursor import Cursor
from pulp_events.errors import LogError, ReadError

from pulp_api.streaming.hub import Hub
from pulp_api.streaming.streamed_events import StreamedEvent

FAILURE: Final = "failure"
"""The type of the last event of a stream that cannot go on."""

_RETRY: Final = b"retry: 1000\n"
"""A subscriber waits so many milliseconds before it connects again."""
_PING_S: Final = 9.0
"""A stream that has sent nothing for so long sends a ping at the hub's next report, so at least every 15 seconds."""
_RIGHTS_S: Final = 4.5
"""How often a stream checks that its user may still have it; less than the hub's interval between reports."""
_CHUNK_BYTES: Final = 64 * 1024
"""The most bytes of a backlog that are prepared at a time, and so that a slow subscriber holds."""

Wanted = Callable[[StreamedEvent], bool]
Ended = Callable[[], Awaitable[str | None]]
"""Returns why the stream has to end now; None if it may go on."""
Visible = Callable[[Sequence[StreamedEvent]], Awaitable[Container[str | None]]]
"""Returns the ids of those tasks of the events that the subscriber may see. Raises `ReadError`."""


async def messages(
    hub: Hub, cursor: Cursor, wanted: Wanted, ended: Ended, visible: Visible | None = None
) -> AsyncIterator[bytes]:
    """The stream's bytes.

    Every id is a cursor just past its event. The stream begins with one, and every ping has one, so that a subscriber
    that has received no event resumes from its place too. `ended` is asked every few seconds; the reason that it
    returns is the stream's last event. Without `visible` the subscriber may see all tasks.
    """
    offsets = list(cursor.offsets)
    clock = asyncio.get_running_loop()

    def place() -> bytes:
        return f"id: {Cursor(cursor.topic_id, tuple(offsets))}\n".encode()

    yield _RETRY + place() + b"\n"
    sent_at = asked_at = clock.time()
    try:
        async for events in hub.items(dict(enumerate(cursor.offsets))):
            if clock.time() - asked_at >= _RIGHTS_S:
                if (why := await ended()) is not None:
                    yield _failure(why)
                    return
                asked_at = clock.time()
            chunk = bytearray()
            shown = None if visible is None else await visible(list(filter(wanted, events)))
            for event in events:
                offsets[event.partition] = event.offset + 1
                if wanted(event) and (shown is None or event.task_id in shown):
                    # The frame is shared by all streams, so the id, which is this stream's alone, precedes it.
                    chunk += place() + event.frame
                if len(chunk) >= _CHUNK_BYTES:
                    yield bytes(chunk)
                    chunk, sent_at = bytearray(), clock.time()
            if not chunk and clock.time() - sent_at >= _PING_S:
                chunk += place() + KEEPALIVE_COMMENT
            if chunk:
                yield bytes(chunk)
                sent_at = clock.time()
    except (LogError, ReadError) as error:
        yield _failure(str(error))
        return
    yield _RETRY + place() + b"\n"


def _failure(why: str) -> bytes:
    data = msgspec.json.encode({"event": None, "detail": why}).decode()
    return format_sse_event(event=FAILURE, data_str=data)
