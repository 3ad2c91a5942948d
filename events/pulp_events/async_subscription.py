"""The subscription for asyncio programs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self

from pulp_events.cursor import Cursor
from pulp_events.selection import Received
from pulp_events.subscription import _WAIT_S, Subscription, subscribe

P = ParamSpec("P")


class AsyncSubscription:
    """A `Subscription` for `async with` and `async for`. A separate thread waits for Kafka, never the event loop.

    It reads at most one page ahead. If an asyncio task is cancelled while it waits, the next caller gets the event.
    """

    def __init__(self, begin: Callable[[], Subscription]) -> None:
        self._begin = begin
        self._subscription: Subscription | None = None
        self._filling: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "subscription")

    @property
    def cursor(self) -> Cursor:
        """The place after the last returned event. Raises `BadInput` for a consumer group."""
        return self._begun.cursor

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each partition."""
        return self._begun.positions

    @property
    def topic_id(self) -> str:
        """The id of the topic."""
        return self._begun.topic_id

    async def poll(self, timeout_s: float) -> Received | None:
        """The next event, or None after the timeout. Raises `OffsetOutOfRange`, `LogUnavailable`."""
        begun = self._open
        if not begun._ready:
            # Shielded: a thread cannot be cancelled, and the next caller gets what it reads.
            filling = self._filling = self._filling or self._in_thread(begun._fill, timeout_s)
            try:
                await asyncio.shield(filling)
            finally:
                if filling.done() and self._filling is filling:
                    self._filling = None  # also after an error: the next call tries again
            if self._closing is not None:
                return None
        return begun._take()

    async def commit(self) -> None:
        """In a consumer group: all returned events are handled. Raises `LogUnavailable`, `LogRefused`."""
        await self._settled()
        await self._in_thread(self._begun.commit)

    def stop(self) -> None:
        """End the iteration after the current event."""
        self._begun.stop()

    async def close(self) -> None:
        """End every iteration and close the connection; `cursor` and `positions` stay readable. Closing again waits
        until it is closed.
        """
        if self._closing is not None:
            await asyncio.wait([self._closing])  # the first caller gets the error, if there is one
            return
        self._begun.stop()
        self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)  # half closed, it could not be closed again

    async def _close(self) -> None:
        try:
            await self._settled()
        finally:
            try:
                await self._in_thread(self._begun.close)
            finally:
                self._thread.shutdown(wait=False)

    async def __aiter__(self) -> AsyncIterator[Received]:
        begun = self._open
        while not begun._is_over:
            received = await self.poll(_WAIT_S)
            if received is not None:
                yield received

    async def __aenter__(self) -> Self:
        beginning = asyncio.get_running_loop().run_in_executor(self._thread, self._begin)
        try:
            self._subscription = await asyncio.shield(beginning)
        except BaseException:
            beginning.add_done_callback(_close_if_begun)
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._settled()
            self._begun._pass_on()
        await self.close()

    def __repr__(self) -> str:
        return f"<Async{repr(self._subscription)[1:]}" if self._subscription else "<AsyncSubscription, not begun>"

    @property
    def _begun(self) -> Subscription:
        if self._subscription is None:
            raise RuntimeError("use the subscription in an `async with` statement")
        return self._subscription

    @property
    def _open(self) -> Subscription:
        if self._closing is not None:
            raise RuntimeError("the subscription is closed")
        return self._begun

    async def _settled(self) -> None:
        """Wait until the thread is idle. The next caller gets what it read, or its error."""
        if self._filling is not None:
            await asyncio.wait([self._filling])

    def _in_thread(self, function: Callable[..., None], *arguments: float) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _close_if_begun(beginning: "asyncio.Future[Subscription]") -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        beginning.result().close()


def _made_async(function: Callable[P, Subscription]) -> Callable[P, AsyncSubscription]:
    def begin(*args: P.args, **kwargs: P.kwargs) -> AsyncSubscription:
        return AsyncSubscription(lambda: function(*args, **kwargs))

    begin.__name__ = begin.__qualname__ = "subscribe_async"
    begin.__doc__ = "What `subscribe` does, for `async with`: it takes the same arguments, and connects on entry."
    return begin


subscribe_async = _made_async(subscribe)
