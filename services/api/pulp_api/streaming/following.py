"""The streams that have sent everything so far: what comes is written to all their clients in one go.

A task for each stream would cost a turn of the event loop and the layers of the framework for each client and batch.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pulp_events.errors import ReadError

from pulp_api.streaming.outlets import SharedPart
from pulp_api.streaming.recent_events import Place, RecentEvents, RecentSpan
from pulp_api.streaming.streamed_events import Choice, StreamedEvent

_AT_ONCE_S: Final = 0.02
"""After so long the event loop serves others. That may take long where many streams are served by their own tasks, so
that followers who wait for it in the middle of a span would all fall behind.
"""
_log = logging.getLogger("pulp.api")

Write = Callable[[SharedPart], bool]
"""Writes to the client without waiting; False, and nothing is written, if that is not possible now."""
TellOrigins = Callable[[Sequence[StreamedEvent], Choice], Awaitable[None]]
"""Finds out what the choice asks for of these events. Raises `ReadError`."""


class StreamFollower:
    """A stream that may be written to beside its task, by `write`."""

    __slots__ = ("choice", "place", "released", "sent_at_s", "write")

    def __init__(self, choice: Choice, write: Write) -> None:
        self.choice = choice
        self.write = write
        self.sent_at_s = 0.0
        """When something was written last, by the loop's clock."""
        self.place = Place(0, ())
        """How far its client has got everything."""
        self.released: asyncio.Future[None] | None = None
        """Done when its task has to go on by itself; None while that does."""

    @property
    def is_written_to(self) -> bool:
        """Whether it has not been released."""
        return self.released is not None and not self.released.done()

    async def until_released(self, most_s: float) -> bool:
        """Returns True as soon as its task has to serve it, or False after so long."""
        assert self.released is not None
        await asyncio.wait([self.released], timeout=most_s)
        return self.released.done()

    def ping(self, ping: bytes, now_s: float) -> None:
        """Write this to its client, in its task; if that is not possible now, it is released."""
        if self.write(SharedPart([ping])):
            self.sent_at_s = now_s
        else:
            self.release()

    def release(self) -> None:
        """Have its task serve it: nothing more is written."""
        if self.released is not None and not self.released.done():
            self.released.set_result(None)


class Following:
    """Writes what comes to the followers. `close` it after use."""

    def __init__(self, tell_origins: TellOrigins) -> None:
        self._tell_origins = tell_origins
        self._followers: dict[Choice, set[StreamFollower]] = {}
        self._recent = RecentEvents(())
        self._written = self._recent.end
        """How far the followers have got everything."""
        self._writing: asyncio.Task[None] | None = None

    def begin(self, recent: RecentEvents) -> None:
        """From now on these events are followed, from their end on."""
        self._recent, self._written = recent, recent.end

    def go_on(self) -> None:
        """There are further events to write."""
        if not self._followers:
            self._written = self._recent.end
        elif self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
            self._writing.add_done_callback(self._ended)

    def close(self) -> None:
        """Release all."""
        if self._writing is not None:
            self._writing.cancel()
        self._release_all()

    @contextmanager
    def following(self, follower: StreamFollower, place: Place) -> Iterator[None]:
        """In the block, write to the follower's client what comes after a place, which is the end of the recent events,
        until the follower is released.
        """
        follower.place, follower.released = place, asyncio.get_running_loop().create_future()
        self._followers.setdefault(follower.choice, set()).add(follower)
        try:
            yield
        finally:
            follower.released = None
            of = self._followers[follower.choice]
            of.discard(follower)
            if not of:
                del self._followers[follower.choice]

    async def _write_all(self) -> None:
        while self._followers and self._written is not self._recent.end:
            span = self._written.span
            if span is None:  # this process had no time for so long that the events are gone
                self._release_all()
                self._written = self._recent.end
                return
            for choice in list(self._followers):
                await self._write(span, choice, self._written)
            self._written = span.end
        if not self._followers:
            self._written = self._recent.end

    async def _write(self, span: RecentSpan, choice: Choice, begin: Place) -> None:
        end = span.end
        followers = list(self._followers.get(choice, ()))
        if not any(follower.place.number < end.number for follower in followers):
            return
        try:
            await self._tell_origins(span.events, choice)
        except ReadError:  # their own tasks meet it too, and tell the clients
            for follower in followers:
                follower.release()
            return
        part = SharedPart(span.chunks(choice))
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for follower in followers:
            if follower.place is not begin:
                if follower.place.number < end.number:  # it came while others were written to
                    follower.release()
            elif follower.released is None or follower.released.done():
                pass
            elif not part:
                follower.place = end
            elif follower.write(part):
                follower.place, follower.sent_at_s = end, now_s
                if loop.time() - now_s > _AT_ONCE_S:
                    await asyncio.sleep(0)
                    now_s = loop.time()
            else:
                follower.release()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("streams could not be written together, each goes on by itself", exc_info=error)
            self._written = self._recent.end
            self._release_all()
        elif self._followers and self._written is not self._recent.end:
            self.go_on()

    def _release_all(self) -> None:
        for followers in self._followers.values():
            for follower in followers:
                follower.release()
