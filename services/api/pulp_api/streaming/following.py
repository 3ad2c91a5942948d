"""The streams that have sent everything so far: new events are written to all their clients in one go.

A task for each stream would cost a turn of the event loop and the layers of the framework for each client and batch.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from pulp_events.errors import ReadError

from pulp_api.streaming.outlets import SharedPart
from pulp_api.streaming.recent_events import Place, RecentEvents
from pulp_api.streaming.streamed_events import Choice, StreamedEvent

_AT_ONCE_S: Final = 0.02
"""After this time the event loop serves other tasks. That may take long if many streams are served by their own tasks,
and followers that wait in the middle of a span would all fall behind.
"""
_log = logging.getLogger("pulp.api")

TellOrigins = Callable[[Sequence[StreamedEvent], Choice], Awaitable[None]]
"""Looks up what the filter needs to know about these events. Raises `ReadError`."""


class FollowerOutlet(Protocol):
    """How a follower's client is written to; see `StreamOutlet`."""

    @property
    def most_text_bytes(self) -> int: ...

    def write(self, part: SharedPart) -> bool: ...


class StreamFollower:
    """A stream that may be written to through its outlet, while its task sleeps."""

    __slots__ = ("choice", "outlet", "place", "released", "sent_at_s")

    def __init__(self, choice: Choice, outlet: FollowerOutlet) -> None:
        self.choice = choice
        self.outlet = outlet
        self.sent_at_s = 0.0
        """When something was written last, by the loop's clock."""
        self.place = Place(())
        """How far its client has got everything."""
        self.released: asyncio.Future[None] | None = None
        """Done when its task must take over; None while the task is running."""

    @property
    def is_written_to(self) -> bool:
        """Whether it has not been released."""
        return self.released is not None and not self.released.done()

    async def until_released(self, most_s: float) -> bool:
        """Returns True as soon as its task must serve it, or False after the timeout."""
        assert self.released is not None
        await asyncio.wait([self.released], timeout=most_s)
        return self.released.done()

    def ping(self, ping: bytes, now_s: float) -> None:
        """Write this to its client, in its task; if that is not possible now, release it."""
        if self.outlet.write(SharedPart([ping])):
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
        self._writing: asyncio.Task[None] | None = None

    def begin(self, recent: RecentEvents) -> None:
        """From now on these events are followed, from their end on."""
        self._recent = recent

    def go_on(self) -> None:
        """There are further events to write."""
        if self._followers and self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

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
        """Write until every follower has everything."""
        try:
            loop = asyncio.get_running_loop()
            since_s = loop.time()
            while groups := self._behind():
                for place, followers in groups:
                    await self._write(place, followers)
                    if loop.time() - since_s > _AT_ONCE_S:
                        await asyncio.sleep(0)
                        since_s = loop.time()
        except Exception:
            _log.exception("streams could not be written together, each goes on by itself")
            self._release_all()
        finally:  # nothing was awaited since all had everything, so no event is missed
            self._writing = None

    def _behind(self) -> list[tuple[Place, list[StreamFollower]]]:
        """The followers that lack events, in groups that get the same part: they want the same, are at one place, and
        take as much at once.
        """
        end = self._recent.end
        found: list[tuple[Place, list[StreamFollower]]] = []
        for followers in self._followers.values():
            groups: dict[tuple[Place, int], list[StreamFollower]] = {}
            for follower in followers:
                if follower.place is not end and follower.is_written_to:
                    groups.setdefault((follower.place, follower.outlet.most_text_bytes), []).append(follower)
            found += [(place, group) for (place, _), group in groups.items()]
        return found

    async def _write(self, begin: Place, followers: Sequence[StreamFollower]) -> None:
        """Write the part after a place to the followers of a group."""
        part, end = await self._part(followers[0], begin)
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for follower in followers:
            if follower.place is not begin or not follower.is_written_to:
                continue  # it was released while others were written to
            if end is begin:
                follower.release()
            elif not part:
                follower.place = end
            elif follower.outlet.write(part):
                follower.place, follower.sent_at_s = end, now_s
                if loop.time() - now_s > _AT_ONCE_S:
                    await asyncio.sleep(0)
                    now_s = loop.time()
            else:
                follower.release()

    async def _part(self, follower: StreamFollower, place: Place) -> tuple[SharedPart, Place]:
        """The data for a follower after a place, as much as its outlet takes at once, and the place that it then has
        reached.

        The place is unchanged if its own task must take over, because the events are gone or their origins cannot be
        read. This lets a server that is behind catch up with fewer and larger writes, which cost little more than small
        ones.
        """
        choice = follower.choice
        chunks: list[bytes] = []
        left_bytes = follower.outlet.most_text_bytes
        while (span := place.span) is not None:
            try:
                await self._tell_origins(span.events, choice)
            except ReadError:  # their own tasks meet it too, and tell the clients
                break
            sent = span.chunks(choice)
            left_bytes -= sum(map(len, sent))
            if chunks and left_bytes < 0:
                break
            chunks += sent
            place = span.end
        return SharedPart(chunks), place

    def _release_all(self) -> None:
        for followers in self._followers.values():
            for follower in followers:
                follower.release()
