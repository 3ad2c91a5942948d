"""Requests that the API's server accepts, over real connections: RFC 9112 to the letter, so that no two programs read
one request differently.
"""

from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.support.http_server import Serving, serving
from tests.support.raw_http import ask, connected

HOST = b"Host: pulp.test\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"


@pytest.fixture
async def site() -> AsyncIterator[Serving]:
    async with serving() as made:
        yield made


REFUSED = {
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
    "a Host that is a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "a Host with a user": (400, b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    "an absolute target with an odd host": (400, b"GET http://a<b/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/2 in a request line": (505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (505, b"GET /\r\n\r\n"),
    "CONNECT": (501, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an unknown method": (400, b"FROB / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a relative target": (400, b"GET tasks HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a target outside ASCII": (400, b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a target with a null": (400, b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a length beside chunks": (400, CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n"),
    "chunks beside a length": (
        400,
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "two lengths": (400, b"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n" + HOST + b"\r\nabcd"),
    "a list of lengths": (400, b"POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n" + HOST + b"\r\nabcd"),
    "a length with a sign": (400, b"POST / HTTP/1.1\r\nContent-Length: +4\r\n" + HOST + b"\r\nabcd"),
    "an unknown coding": (501, b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n" + HOST + b"\r\n0\r\n\r\n"),
    "chunks that are not last": (
        400,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n" + HOST + b"\r\n0\r\n\r\n",
    ),
    "a coding before the chunks": (
        501,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" + HOST + b"\r\n0\r\n\r\n",
    ),
    "chunks in chunks": (400, CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunks in HTTP/1.0": (501, b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a coding behind a control character": (
        400,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n" + HOST + b"\r\n0\r\n\r\n",
    ),
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: pulp.test\n\n"),
    "a bare line feed in the head": (400, b"GET / HTTP/1.1\r\nHost: pulp.test\nA: b\r\n\r\n"),
    "a bare carriage return": (400, b"GET / HTTP/1.1\r\nHost: pulp.test\rA: b\r\n\r\n"),
    "a folded field": (400, b"GET / HTTP/1.1\r\nHost: pulp.test\r\nA: b\r\n c\r\n\r\n"),
    "a blank before the colon": (400, b"GET / HTTP/1.1\r\nHost : pulp.test\r\n\r\n"),
    "a blank before the first field": (400, b"GET / HTTP/1.1\r\n A: b\r\n" + HOST + b"\r\n"),
    "a null in a field": (400, b"GET / HTTP/1.1\r\n" + HOST + b"A: b\0c\r\n\r\n"),
    "chunks with bare line feeds": (400, CHUNKED + b"\r\n1\na\n0\n\n"),
    "a chunk of a negative size": (400, CHUNKED + b"\r\n-1\r\na\r\n0\r\n\r\n"),
    "a chunk of a size beyond any": (400, CHUNKED + b"\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_request_is_refused(site: Serving, name: str) -> None:
    status, sent = REFUSED[name]
    answer = await ask(site.port, sent)
    assert answer is not None
    assert answer.status == status, answer
    if status != 405:  # the application's own
        assert answer.headers["connection"] == "close"
        assert msgspec.json.decode(answer.body)["detail"]


TAKEN = {
    "HTTP/1.0 without a Host": (b"GET /a HTTP/1.0\r\n\r\n", {"path": "/a"}),
    "an address as Host": (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", {"base": "http://[::1]:80/"}),
    "an absolute target, whose host counts": (
        b"GET http://user@other:81/a?b=1 HTTP/1.1\r\n" + HOST + b"\r\n",
        {"base": "http://other:81/", "path": "/a", "query": "b=1"},
    ),
    "an absolute target without a path": (
        b"GET http://other HTTP/1.1\r\n" + HOST + b"\r\n",
        {"base": "http://other/", "path": "/"},
    ),
    "a wish for HTTP/2": (
        b"GET /a HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
        {"path": "/a"},
    ),
    "chunks": (CHUNKED + b"\r\n3\r\nabc\r\n2;name=value\r\nde\r\n0\r\n\r\n", {"body": "abcde"}),
    "blank lines before a request": (b"\r\n\r\nGET /a HTTP/1.1\r\n" + HOST + b"\r\n", {"path": "/a"}),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_what_is_a_request_is_taken(site: Serving, name: str) -> None:
    sent, expected = TAKEN[name]
    answer = await ask(site.port, sent)
    assert answer is not None
    assert answer.status == 200, answer
    found = msgspec.json.decode(answer.body)
    assert {key: found[key] for key in expected} == expected


async def test_a_trailer_is_no_field_of_the_request(site: Serving) -> None:
    answer = await ask(site.port, CHUNKED + b"\r\n1\r\na\r\n0\r\nX-Late: 1\r\nHost: evil\r\n\r\n")
    assert answer is not None
    headers = msgspec.json.decode(answer.body)["headers"]
    assert (headers["host"], headers.get("x-late")) == ("pulp.test", None)


async def test_a_websocket_is_not_granted(site: Serving) -> None:
    wish = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n\r\n"
    async with connected(site.port) as raw:
        await raw.send(b"GET /a HTTP/1.1\r\n" + HOST + wish + b"GET /b HTTP/1.1\r\n" + HOST + b"\r\n")
        for path in ("/a", "/b"):  # the connection goes on as it was
            answer = await raw.answer()
            assert answer is not None
            assert (answer.status, msgspec.json.decode(answer.body)["path"]) == (200, path)


async def test_a_client_that_waits_for_100_continue_gets_it_or_its_refusal(site: Serving) -> None:
    async with connected(site.port) as raw:
        await raw.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        answer = await raw.answer()
        assert answer is not None
        assert answer.status == 100
        await raw.send(b"ab")
        answer = await raw.answer()
        assert answer is not None
        assert (answer.status, msgspec.json.decode(answer.body)["body"]) == (200, "ab")
        await raw.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n")
        answer = await raw.answer()
        assert answer is not None
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert await raw.is_closed()
