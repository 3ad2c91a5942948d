"""A server's answer, as an operation reads it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpcore

from pulp_worker.fetching.errors import FetchFailed, TooLarge
from pulp_worker.fetching.pace import Pace

_PIECE_BYTES: Final = 128 * 1024
_MANY_PIECES: Final = 100_000
_LEAST_MEAN_BYTES: Final = 64
"""The least mean size of many pieces, because even a small piece takes time of the event loop."""
_TURN: Final = 64
"""After this many small pieces, other tasks of the event loop get their turn."""


class Answer:
    """A successful answer: status 200 or 206, or 304 for a conditional request.

    Its body is read once, as it was sent: no content encoding is undone.
    """

    def __init__(
        self, response: httpcore.Response, asked: str, most_bytes: int, pace: Pace, spend: Callable[[int], None]
    ) -> None:
        """`spend` is called with the number of received bytes, and raises once the task may fetch no more."""
        self._response, self._asked, self._most_bytes, self._pace = response, asked, most_bytes, pace
        self._spend = spend
        self.status = response.status
        announced = self.header("Content-Length") or ""
        if announced.isdecimal() and int(announced) > most_bytes:
            raise self._too_large()

    def header(self, name: str) -> str | None:
        """The first header of this name. It is the server's text: not for messages."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self._response.headers if key.lower() == wanted), None)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, in pieces of up to some 128 KiB; if it ends early, everything that came.

        Raises `LimitExceeded`, and within `Fetcher.get` `FetchFailed`.
        """
        held = bytearray()
        try:
            async for piece in self._checked():
                held += piece
                if len(held) >= _PIECE_BYTES:
                    yield bytes(held)
                    held.clear()
        except Exception:
            if held:
                yield bytes(held)
            raise
        if held:
            yield bytes(held)

    async def _checked(self) -> AsyncIterator[bytes]:
        received, turns = 0, 0
        stream = aiter(self._response.stream)  # type: ignore[arg-type]  # an asynchronous pool always has one
        while True:
            asked_s = time.monotonic()
            piece = await anext(stream, None)
            if piece is None:
                break
            received += len(piece)
            self._spend(len(piece))
            if received > self._most_bytes:
                raise self._too_large()
            waited_s = time.monotonic() - asked_s
            yield piece
            self._pace.note(waited_s, len(piece))
            turns += 1
            if turns > _MANY_PIECES and received < _LEAST_MEAN_BYTES * turns:
                raise FetchFailed(f"{self._asked}: the server sends it in pieces of a few bytes")
            if turns % _TURN == 0:
                await asyncio.sleep(0)

    async def whole(self) -> bytes:
        """The body. A compressed one, which was not requested, is refused. Raises as `pieces` does."""
        if (self.header("Content-Encoding") or "identity").lower() != "identity":
            raise FetchFailed(f"{self._asked}: the server sends it compressed, although it was asked not to")
        return b"".join([piece async for piece in self.pieces()])

    def _too_large(self) -> TooLarge:
        return TooLarge(f"{self._asked}: the file is larger than the {self._most_bytes} bytes that it may have")
