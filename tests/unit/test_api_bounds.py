"""Limits on what one client may send, keep open and leave unread, over real connections to the API's server."""

import asyncio
import gc
import socket
import struct

import msgspec
import pytest
from pulp_api.front.addresses import Proxies
from pulp_api.front.limits import Limits
from pulp_api.front.protocol import BoundedProtocol

from tests.support.http_server import serving
from tests.support.raw_http import Answer, Raw, ask, connect, connected

HOST = b"Host: pulp.test\r\n"
GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /a HTTP/1.1\r\n" + HOST
PIECE = b"x" * 65_536


async def status(port: int, sent: bytes) -> int:
    answer = await ask(port, sent)
    assert answer is not None
    return answer.status


async def flood(raw: Raw, pieces: int) -> Answer | None:
    """Send this many pieces; returns the answer, which comes before all are read, or None if the connection is
    reset."""

    async def send() -> None:
        for _ in range(pieces):
            await raw.send(PIECE)

    sending = asyncio.create_task(send())
    answer = await raw.answer()
    sending.cancel()
    await asyncio.wait([sending])
    return answer


async def test_a_head_is_bounded_while_it_arrives() -> None:
    async with serving() as site:
        assert await status(site.port, GET[:-2] + b"A: " + b"x" * 65_000 + b"\r\n\r\n") == 200
        assert await status(site.port, GET[:-2] + b"A: " + b"x" * 66_000 + b"\r\n\r\n") == 431
        assert await status(site.port, GET[:-2] + b"a: b\r\n" * 99 + b"\r\n") == 200
        assert await status(site.port, GET[:-2] + b"a: b\r\n" * 100 + b"\r\n") == 431
        for start, expected in ((GET[:-2] + b"A: ", 431), (b"GET /", 414), (b"GET /?", 414)):
            async with connected(site.port) as raw:
                await raw.send(start)
                answer = await flood(raw, 1600)  # 100 MB
                assert answer is not None
                assert answer.status == expected
        assert site.server.watch.held == 0


async def test_the_second_head_on_a_connection_is_bounded_as_the_first() -> None:
    async with serving() as site, connected(site.port) as raw:
        for _ in range(3):
            await raw.send(GET)
            answer = await raw.answer()
            assert answer is not None
            assert answer.status == 200
        await raw.send(GET[:-2])
        answer = await flood(raw, 100)
        assert answer is not None
        assert answer.status in (400, 431)  # a field's name of 64 KB, or a head of as much


@pytest.mark.parametrize("size", [65_536, 1_000_000])
async def test_a_body_behind_a_small_head_is_taken_whole(size: int) -> None:
    async with serving() as site:
        answer = await ask(site.port, POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
        assert answer is not None
        assert len(msgspec.json.decode(answer.body)["body"]) == size


async def test_a_body_without_a_length_is_bounded_and_its_refusal_arrives() -> None:
    async with serving() as site, connected(site.port) as raw:
        await raw.send(POST + b"Transfer-Encoding: chunked\r\n\r\n10000000\r\n")
        answer = await flood(raw, 800)
        assert answer is not None
        assert (answer.status, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("part", [b"1\r\na\r\n", b"1;" + b"a" * 1000 + b"\r\na\r\n"])
async def test_chunks_that_are_mostly_frames_are_refused(part: bytes) -> None:
    async with serving() as site, connected(site.port) as raw:
        await raw.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        sending = asyncio.create_task(raw.send(part * (2_000_000 // len(part))))
        answer = await raw.answer()
        assert answer is not None
        assert answer.status == 400
        sending.cancel()
        await asyncio.wait([sending])


async def test_a_trailer_is_bounded() -> None:
    async with serving() as site, connected(site.port) as raw:
        await raw.send(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: ")
        answer = await flood(raw, 100)
        assert answer is not None
        assert answer.status == 400


async def test_a_body_that_goes_on_behind_its_refusal_ends_the_connection() -> None:
    async with serving() as site, connected(site.port) as raw:
        await raw.send(b"POST /unread HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n10000000\r\n")
        answer = await flood(raw, 100)
        assert answer is not None
        assert answer.status == 401
        await raw.send(PIECE * 100)
        assert await raw.is_closed()


async def test_requests_behind_one_another_are_answered_in_their_order_up_to_a_bound() -> None:
    async with serving() as site, connected(site.port) as raw:
        paths = [f"/{number}" for number in range(1000)]
        await raw.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths))
        found = []
        while answer := await raw.answer():
            found.append(msgspec.json.decode(answer.body)["path"])
            last = answer.headers.get("connection")
        assert found == paths[: len(found)]
        assert len(found) == 9
        assert last == "close"


async def test_what_is_wrong_behind_a_good_request_does_not_spoil_its_answer() -> None:
    for wrong in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        async with serving() as site, connected(site.port) as raw:
            await raw.send(GET + wrong)
            answer = await raw.answer()
            assert answer is not None
            assert answer.status == 200
            assert msgspec.json.decode(answer.body)["path"] == "/a"
            assert await raw.is_closed()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (GET[:-1], 408),
        (b"G", 408),
        (POST + b"Content-Length: 2\r\n\r\na", 408),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n", 408),
        (b"", None),
    ],
    ids=["a head", "one byte", "a body", "a chunk", "nothing"],
)
async def test_a_request_that_does_not_come_to_its_end_is_given_up(sent: bytes, expected: int | None) -> None:
    limits = Limits(head_s=0.5, body_s=0.5)
    async with serving(limits=limits) as site, connected(site.port) as raw:
        await raw.send(sent)
        answer = await raw.answer()
        assert (answer and answer.status) == expected
        assert await raw.is_closed()


async def test_a_body_that_trickles_is_given_up_before_its_time_is_over() -> None:
    limits = Limits(body_s=10_000, stalled_s=0.5, least_rate=1_000_000)
    async with serving(limits=limits) as site, connected(site.port) as raw:
        await raw.send(POST + b"Content-Length: 900000\r\n\r\n")

        async def trickle() -> None:
            while True:
                await raw.send(b"x")
                await asyncio.sleep(0.01)

        sending = asyncio.create_task(trickle())
        answer = await raw.answer()
        sending.cancel()
        await asyncio.wait([sending])
        assert answer is not None
        assert answer.status == 408


async def test_silent_connections_do_not_keep_others_out() -> None:
    limits = Limits(clients=300, clients_per_address=100, head_s=10_000)
    async with serving(limits=limits, keep_alive_s=10_000) as site:
        silent = [await connect(site.port, source=f"127.0.0.{number % 5 + 2}") for number in range(700)]
        try:
            for _ in range(50):
                assert await status(site.port, GET) == 200
            assert site.connections <= 300
            one = [raw for number, raw in enumerate(silent) if number % 5 == 0]
            for _ in range(50):  # from the same address
                answer = await ask(site.port, GET, source="127.0.0.2")
                assert answer is not None
                assert answer.status == 200
            assert len(one) == 140
        finally:
            await asyncio.gather(*(raw.close() for raw in silent))


@pytest.mark.parametrize("start", [b"", b"G", GET[:-1], GET, POST + b"Content-Length: 9\r\n\r\na"])
async def test_connections_that_do_nothing_go_for_those_that_do(start: bytes) -> None:
    limits = Limits(clients=50, clients_per_address=50, head_s=10_000, body_s=10_000)
    async with serving(limits=limits, keep_alive_s=10_000) as site:
        idle = [await connect(site.port) for _ in range(200)]
        try:
            for raw in idle:
                await raw.send(start)
            for _ in range(20):
                assert await status(site.port, GET) == 200
            assert site.connections <= 50
        finally:
            await asyncio.gather(*(raw.close() for raw in idle))


async def test_connections_that_all_have_an_answer_under_way_are_bounded() -> None:
    limits = Limits(clients=20, clients_per_address=5, at_once=20)
    async with serving(limits=limits) as site:
        waiting = [await connect(site.port, source=f"127.0.0.{number // 5 + 2}") for number in range(20)]
        try:
            for raw in waiting:
                await raw.send(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
            async with asyncio.timeout(30):
                while site.waiting < 20:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.01)
            crowded = await ask(site.port, GET)
            one = await ask(site.port, GET, source="127.0.0.2")
            assert crowded is not None
            assert one is not None
            assert (crowded.status, one.status) == (503, 429)
            assert crowded.headers["retry-after"] == one.headers["retry-after"] == "2"
            site.let_go()
            for raw in waiting:
                answer = await raw.answer()
                assert answer is not None
                assert answer.status == 200
        finally:
            await asyncio.gather(*(raw.close() for raw in waiting))


async def test_a_trusted_proxy_has_more_connections_than_one_address() -> None:
    limits = Limits(clients=100, clients_per_address=2)
    proxies = Proxies.parse(["127.0.0.9"], "PULP_API_TRUSTED_PROXIES")
    async with serving(limits=limits, proxies=proxies) as site:
        pool = [await connect(site.port, source="127.0.0.9") for _ in range(50)]
        try:
            for raw in pool:
                await raw.send(GET)
                assert await raw.answer()
            assert site.connections == 50
        finally:
            await asyncio.gather(*(raw.close() for raw in pool))


async def slow(port: int, size: int, *, rest_s: float, piece: int) -> int:
    """How many bytes of an answer of `size` a client gets that takes `piece` at a time."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # else it buffers much that nobody reads
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, b"GET /large/%d HTTP/1.1\r\n" % size + HOST + b"\r\n")
        got = 0
        while got < size:
            try:
                found = await loop.sock_recv(client, piece)
            except ConnectionError:
                break
            if not found:
                break
            got += len(found)
            await asyncio.sleep(rest_s)
        return got


async def test_a_reader_that_takes_too_little_is_cut_off_and_one_that_takes_enough_is_not() -> None:
    limits = Limits(stalled_s=1, least_rate=1_000_000)
    size = 12_000_000
    async with serving(limits=limits) as site:
        trickle, steady = await asyncio.gather(
            slow(site.port, size, rest_s=0.05, piece=1000),
            slow(site.port, size, rest_s=0.005, piece=65_536),
        )
        assert trickle < size <= steady
        await site.down_to(0)
        assert site.server.watch.unsent == 0


async def test_answers_that_nobody_takes_are_bounded_in_all() -> None:
    limits = Limits(held_bytes=20_000_000, stalled_s=10_000)
    async with serving(limits=limits) as site:
        readers = [await connect(site.port) for _ in range(30)]
        try:
            for raw in readers:
                raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await raw.send(b"GET /large/6000000 HTTP/1.1\r\n" + HOST + b"\r\n")
                assert await status(site.port, GET) == 200
                assert site.server.watch.unsent <= 20_000_000
            assert 0 < site.connections < 30
        finally:
            await asyncio.gather(*(raw.close() for raw in readers))


async def test_the_next_answer_is_made_once_the_one_before_is_taken() -> None:
    size = 20_000_000
    async with serving() as site, connected(site.port) as raw:
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await raw.send(b"GET /large/%d HTTP/1.1\r\n" % size + HOST + b"\r\nGET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        for _ in range(5):
            assert await status(site.port, GET) == 200
        assert site.waiting == 0
        raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
        first = await raw.answer()
        site.let_go()
        second = await raw.answer()
        assert first is not None
        assert second is not None
        assert (len(first.body), second.body) == (size, b"at last")


async def test_a_client_that_leaves_before_it_took_its_answer_leaves_nothing_behind() -> None:
    async with serving() as site:
        async with connected(site.port) as raw:
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await raw.send(b"GET /large/20000000 HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
            assert await status(site.port, GET) == 200
        await site.down_to(0)
        assert (site.server.watch.held, site.server.watch.unsent) == (0, 0)


def protocols() -> int:
    """Connections that are in memory."""
    return sum(isinstance(each, BoundedProtocol) for each in gc.get_objects())


RESET = struct.pack("ii", 1, 0)


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("sent", [b"", b"GET /", POST + b"Content-Length: 9\r\n\r\n{", GET, GET + GET])
async def test_a_connection_that_has_ended_needs_no_garbage_collector(sent: bytes, is_reset: bool) -> None:
    async with serving() as site:
        gc.collect()
        before = protocols()
        gc.disable()
        try:
            for _ in range(10):
                async with connected(site.port) as raw:
                    await raw.send(sent)
                    if GET in sent:
                        assert await raw.answer()
                    if is_reset:
                        raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            await site.down_to(0)
            await asyncio.sleep(0)  # lets the last callbacks return
            assert protocols() == before
        finally:
            gc.enable()


async def test_requests_that_are_not_complete_are_bounded_in_all() -> None:
    limits = Limits(held_bytes=2_000_000, clients_per_address=1000, head_s=10_000, body_s=10_000)
    async with serving(limits=limits) as site:
        senders = [await connect(site.port) for _ in range(200)]
        try:
            for number, raw in enumerate(senders):
                start = GET[:-2] + b"A: " if number % 2 else POST + b"Content-Length: 900000\r\n\r\n"
                await raw.send(start + b"x" * 50_000)
            assert await status(site.port, POST + b"Content-Length: 90000\r\n\r\n" + b"x" * 90_000) == 200
            assert site.server.watch.held <= 2_000_000
        finally:
            await asyncio.gather(*(raw.close() for raw in senders))


async def test_a_stop_does_not_wait_for_those_who_only_waste_its_time() -> None:
    limits = Limits(head_s=10_000, stalled_s=10_000)
    async with serving(limits=limits, keep_alive_s=10_000) as site:
        idle = [await connect(site.port) for _ in range(60)]
        try:
            for raw, start in zip(
                idle,
                [b"", b"G", GET[:-1], GET, b"nonsense\r\n\r\n", POST + b"Content-Length: 9\r\n\r\na"] * 10,
                strict=True,
            ):
                await raw.send(start)
            assert await status(site.port, GET) == 200
            site.server.should_exit = True
            await site.task  # a wait of 10,000 s would exceed the time limit of tests
            assert all([await raw.is_closed() for raw in idle])
        finally:
            await asyncio.gather(*(raw.close() for raw in idle))


async def test_who_sends_slowly_takes_no_turn_from_those_who_do_not() -> None:
    async with serving(limits=Limits(at_once=2, body_s=10_000)) as site:
        slow_ones = [await connect(site.port) for _ in range(20)]
        try:
            for raw in slow_ones:
                await raw.send(POST + b"Content-Length: 9\r\n\r\na")
            for _ in range(20):
                assert await status(site.port, GET) == 200
            for raw in slow_ones:
                await raw.send(b"x" * 8)
            for raw in slow_ones:
                answer = await raw.answer()
                assert answer is not None
                assert msgspec.json.decode(answer.body)["body"] == "a" + "x" * 8
        finally:
            await asyncio.gather(*(raw.close() for raw in slow_ones))


async def test_one_that_waits_long_keeps_others_waiting_for_a_moment_only() -> None:
    async with serving(limits=Limits(at_once=2)) as site:
        waiting = [await connect(site.port) for _ in range(6)]
        try:
            for raw in waiting:
                await raw.send(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
            assert await status(site.port, GET) == 200
            site.let_go()
            for raw in waiting:
                assert await raw.answer()
        finally:
            await asyncio.gather(*(raw.close() for raw in waiting))
