"""The head of an answer is sent with its body, and is never kept back for long."""

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest
from pulp_api.front.outlet import Outlet

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
SENT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class Sent(asyncio.Transport):
    """A transport that keeps each write separate; its client takes everything immediately."""

    def __init__(self, ours: socket.socket) -> None:
        super().__init__()
        self.ours = ours
        self.writes: list[bytes] = []
        self.is_closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.ours if name == "socket" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


Opened = Callable[[], tuple[Outlet, Sent]]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Creates outlets, with their transports."""
    ours, theirs = socket.socketpair()

    def open_one() -> tuple[Outlet, Sent]:
        sent = Sent(ours)
        return Outlet(sent, lambda: None, lambda: None), sent

    with ours, theirs:
        yield open_one


async def test_a_head_and_its_body_are_one_write(opened: Opened) -> None:
    outlet, sent = opened()
    outlet.write(HEAD)
    outlet.write(b"{}")
    outlet.write(HEAD)
    outlet.write(b"[]")
    assert sent.writes == [SENT_HEAD + b"{}", SENT_HEAD + b"[]"]
    await asyncio.sleep(0)
    assert len(sent.writes) == 2


async def test_a_head_whose_body_comes_later_is_sent_in_the_next_turn_of_the_loop(opened: Opened) -> None:
    outlet, sent = opened()
    outlet.write(HEAD)
    assert outlet.taken() == 0
    await asyncio.sleep(0)
    assert sent.writes == [SENT_HEAD]
    assert outlet.taken() == len(SENT_HEAD)
    outlet.write(b"{}")
    assert sent.writes == [SENT_HEAD, b"{}"]


async def test_two_heads_in_one_turn_are_both_sent(opened: Opened) -> None:
    outlet, sent = opened()
    outlet.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    outlet.write(HEAD)
    await asyncio.sleep(0)
    assert b"".join(sent.writes) == b"HTTP/1.1 100 Continue\r\n\r\n" + SENT_HEAD


async def test_a_head_is_sent_before_the_end(opened: Opened) -> None:
    for end in (Outlet.finish, Outlet.end_writing):
        outlet, sent = opened()
        outlet.write(HEAD)
        end(outlet)
        assert sent.writes == [SENT_HEAD]
        assert sent.is_closed
        await asyncio.sleep(0)


async def test_nothing_is_written_after_an_abort_or_once_the_connection_has_ended(opened: Opened) -> None:
    for end in (Outlet.abort, Outlet.forget):
        outlet, sent = opened()
        outlet.write(HEAD)
        end(outlet)
        await asyncio.sleep(0)
        assert sent.writes == []
