"""Server-sent events that resume exactly (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterable, Iterator, Sequence
from typing import Final
from uuid import UUID

import msgspec
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pulp_events.cursor import Cursor
from pulp_events.errors import LogError, ReadError

from pulp_api.streaming.following import FollowerOutlet, StreamFollower
from pulp_api.streaming.hub import Hub, place_of
from pulp_api.streaming.recent_events import RecentSpan, joined
from pulp_api.streaming.streamed_events import Choice, StreamedEvent

FAILURE: Final = "failure"
"""The type of the last event of a stream that cannot go on."""

_RETRY: Final = b"retry: 1000\n"
"""How many milliseconds a subscriber waits before it reconnects."""
_PING_S: Final = 9.0
"""A stream that has sent nothing for this long sends a ping at the hub's next report, so at least every 15 seconds."""
_RIGHTS_S: Final = 4.5
"""How often a stream checks that its user may still have it; less than the hub's interval between reports."""
Ended = Callable[[], Awaitable[str | None]]
"""Returns why the stream must end now; None if it may go on."""
Visible = Callable[[Sequence[StreamedEvent]], Awaitable[Container[UUID | None]]]
"""Returns the ids of those tasks of the events that the subscriber may see. Raises `ReadError`."""


async def messages(
    hub: Hub,
    cursor: Cursor,
    choice: Choice,
    ended: Ended,
    visible: Visible | None = None,
    outlet: FollowerOutlet | None = None,
) -> AsyncGenerator[bytes]:
    """The stream's bytes.

    Every id is a cursor just past its event. The stream begins with one, and every ping has one, so that a subscriber
    that has received no event resumes from its place too. `ended` is asked every few seconds; the reason that it
    returns is the stream's last event. Without `visible` the subscriber may see all tasks.
    Some parts are written to the outlet instead, each after all that was yielded before was sent, and before the next
    is asked for.
    """
    offsets = list(cursor.offsets)
    clock = asyncio.get_running_loop()
    follower = StreamFollower(choice, outlet) if outlet is not None and visible is None else None

    def place() -> bytes:
        return place_of(cursor.topic_id, offsets)

    yield _RETRY + place() + b"\n"
    sent_at = asked_at = clock.time()
    try:
        async for item in hub.items(cursor.offsets, follower):
            if clock.time() - asked_at >= _RIGHTS_S:
                if (why := await ended()) is not None:
                    if follower is not None:
                        follower.release()
                    yield _failure(why)
                    return
                asked_at = clock.time()
            if follower is not None:
                sent_at = max(sent_at, follower.sent_at_s)
                if follower.released is not None:  # `offsets` lag behind: its next item has the place
                    if follower.is_written_to and clock.time() - sent_at >= _PING_S:
                        ping = place_of(cursor.topic_id, follower.place.offsets) + KEEPALIVE_COMMENT
                        follower.ping(ping, clock.time())
                    continue
            candidates = item.candidates(choice) if isinstance(item, RecentSpan) else item
            await hub.tell_origins(candidates, choice)
            if isinstance(item, RecentSpan) and visible is None:
                chunks: Iterable[bytes] = item.chunks(choice)
            else:
                sent = [event for event in candidates if choice.is_sent(event)]
                shown = None if visible is None else await visible(sent)
                seen = sent if shown is None else [event for event in sent if event.task_id in shown]
                events = item.events if isinstance(item, RecentSpan) else item
                chunks = joined(_placed(events, seen, choice, cursor.topic_id, offsets))
            for chunk in chunks:
                yield chunk
                sent_at = clock.time()
            if isinstance(item, RecentSpan):
                offsets[:] = item.end.offsets
            if clock.time() - sent_at >= _PING_S:
                yield place() + KEEPALIVE_COMMENT
                sent_at = clock.time()
    except (LogError, ReadError) as error:
        yield _failure(str(error))
        return
    yield _RETRY + place() + b"\n"


def _placed(
    events: Sequence[StreamedEvent], seen: Sequence[StreamedEvent], choice: Choice, topic_id: str, offsets: list[int]
) -> Iterator[tuple[bytes, ...]]:
    """The lines of the events that are seen, each with an id for this stream alone; `offsets` move past all events."""
    wanted = iter(seen)
    following = next(wanted, None)
    for event in events:
        offsets[event.partition] = event.offset + 1
        if event is following:
            yield place_of(topic_id, offsets), *choice.lines(event)
            following = next(wanted, None)


def _failure(why: str) -> bytes:
    data = msgspec.json.encode({"event": None, "detail": why}).decode()
    return format_sse_event(event=FAILURE, data_str=data)
