"""Fetching from hostile servers: redirects, names that change, floods, drips, lies, and what errors say."""

import asyncio
import gzip
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pulp_runtime.outgoing.retry_after import asked_pause_s
from pulp_worker import LimitExceeded
from pulp_worker.bounds import fetch_settings
from pulp_worker.fetching import FetchFailed, FetchRefused, FetchSettings, patiently
from pulp_worker.fetching.fetcher import Fetcher
from pulp_worker.fetching.pace import Pace, TooSlow

from tests.support.certificates import Authority
from tests.support.mirror import LOCAL, Answer, Connector, Names, fetcher, mirror, ok, redirect

REFUSED = (
    "the settings of this worker do not allow to fetch from there (PULP_FETCH_ALLOW, PULP_FETCH_DENY, PULP_FETCH_PORTS)"
)
SECRET = "TOP-SECRET-TEXT"
PUBLIC = "93.184.216.34"
DANGERS = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://127.1/",
    "http://0177.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://localhost./",
    "//127.0.0.1/x",
    "http://10.0.0.1:22/",
    "http://a b/",
    "http://inner.example/",
]


def settings(**env: str) -> FetchSettings:
    return fetch_settings({f"PULP_FETCH_{key}": value for key, value in env.items()})


@pytest.mark.parametrize("location", DANGERS)
async def test_no_redirect_leads_where_the_rules_do_not(location: str) -> None:
    names = Names(mirror_example=[[PUBLIC]], inner_example=[["10.0.0.9", "169.254.169.254"]], localhost=[["127.0.0.1"]])
    names._answers["localhost."] = [["127.0.0.1"]]
    async with mirror({"/": redirect(location)}) as server:
        connector = Connector(server.port)
        async with fetcher(settings(), names=names, connector=connector) as client:
            with pytest.raises(FetchRefused) as raised:
                await client.read("http://mirror.example/", most_bytes=100)
    assert str(raised.value) == f"http://mirror.example/: it redirects, and {REFUSED}"
    assert connector.connections == [(PUBLIC, 80)]


@pytest.mark.parametrize("url", [url for url in DANGERS if url.startswith("http")])
async def test_all_refusals_read_the_same_and_nothing_is_sent(url: str) -> None:
    names = Names(inner_example=[["10.0.0.9", "169.254.169.254"]], localhost=[["127.0.0.1"]])
    names._answers["localhost."] = [["127.0.0.1"]]
    connector = Connector()
    async with fetcher(settings(), names=names, connector=connector) as client:
        with pytest.raises(FetchRefused) as raised:
            await client.read(url, most_bytes=100)
    assert str(raised.value) == f"{url}: {REFUSED}"
    assert raised.value.code == "fetch-refused"
    assert connector.connections == []


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file:///etc/passwd", "redirects to a URL that is not http or https"),
        ("ftp://mirror.example/", "redirects to a URL that is not http or https"),
        ("gopher://mirror.example/", "redirects to a URL that is not http or https"),
        ("http://0177.0.0.1/", "redirects to a URL that is not http or https"),
        ("http://[::1/", "redirects to a URL that is not http or https"),
        ("http://jo:word@mirror.example/", "redirects to a URL with a user name or password"),
    ],
)
async def test_a_redirect_to_something_else_is_refused(location: str, words: str) -> None:
    async with mirror({"/": redirect(location)}) as server, fetcher() as client:
        with pytest.raises(FetchRefused, match=words):
            await client.read(server.url(), most_bytes=100)
        assert server.asked() == ["/"]


async def test_redirects_are_followed_up_to_their_bound() -> None:
    async with mirror({"/a": redirect("b"), "/b": redirect("/c"), "/c": ok(b"here")}) as server:
        async with fetcher() as client:
            assert await client.read(server.url("/a"), most_bytes=100) == b"here"
        async with fetcher(settings(ALLOW="loopback", REDIRECTS="1")) as client:
            with pytest.raises(FetchFailed, match="more than 1 redirects"):
                await client.read(server.url("/a"), most_bytes=100)
        server.answers["/a"] = redirect("/a")
        async with fetcher() as client:
            with pytest.raises(FetchFailed, match="more than 5 redirects"):
                await client.read(server.url("/a"), most_bytes=100)


async def test_credentials_stay_with_the_origin_that_they_are_for() -> None:
    headers = {"Authorization": "Bearer word", "Cookie": "a=b", "X-Token": "word", "Range": "bytes=1-"}
    async with mirror({"/": ok(b"there")}) as other, mirror({"/": redirect("/here")}) as server, fetcher() as client:
        server.answers["/here"] = redirect(other.url())
        await client.read(server.url(), most_bytes=100, headers=headers)
    assert [head.count("word") for head in server.heads] == [2, 2]
    assert [name for name in ("authorization", "cookie", "x-token") if name in other.heads[0].lower()] == []
    assert "range: bytes=1-" in other.heads[0].lower()


async def test_cookies_of_a_server_are_not_kept() -> None:
    async with mirror({"/": ok(b"", "Set-Cookie: a=b")}) as server, fetcher() as client:
        await client.read(server.url(), most_bytes=100)
        await client.read(server.url(), most_bytes=100)
    assert "cookie" not in server.heads[1].lower()


async def test_a_url_with_a_password_is_refused() -> None:
    async with fetcher() as client:
        with pytest.raises(FetchRefused, match=r"^http://127\.0\.0\.1/x: a URL with a user name or password") as raised:
            await client.read("http://jo:word@127.0.0.1/x?token=word", most_bytes=1)
    assert "word@" not in str(raised.value)
    assert "token" not in str(raised.value)


async def test_a_name_is_resolved_once_and_its_checked_address_is_the_one_that_is_used() -> None:
    names = Names(mirror_example=[[PUBLIC], ["127.0.0.1"]])
    async with mirror({"/": ok(b"hello")}) as server:
        connector = Connector(server.port)
        async with fetcher(settings(), names=names, connector=connector) as client:
            assert await client.read("http://mirror.example/", most_bytes=100) == b"hello"
            assert names.asked == ["mirror.example"]
            with pytest.raises(FetchRefused):
                await client.read("http://mirror.example/", most_bytes=100)
    assert connector.connections == [(PUBLIC, 80)]
    assert "host: mirror.example\r\n" in server.heads[0].lower()


async def test_every_address_of_a_name_has_to_be_allowed() -> None:
    names = Names(mirror_example=[[PUBLIC, "127.0.0.1"]])
    connector = Connector()
    async with fetcher(settings(), names=names, connector=connector) as client:
        with pytest.raises(FetchRefused):
            await client.read("http://mirror.example/", most_bytes=100)
    assert connector.connections == []


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    return made


async def test_tls_is_verified_by_the_name_and_not_by_the_address(authority: Authority) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.sign("server"))
    asked: list[str | None] = []
    tls.sni_callback = lambda _, name, __: asked.append(name)
    names = Names(localhost=[[PUBLIC]], other_example=[[PUBLIC]])
    async with mirror({"/": ok(b"hello"), "/down": redirect("http://localhost/")}, tls) as server:
        connector = Connector(server.port)
        # Behind the stand-in resolver the certificate's name has a public address.
        async with fetcher(settings(), names=names, connector=connector) as client:
            assert await client.read("https://localhost/", most_bytes=100) == b"hello"
            with pytest.raises(FetchFailed, match="the certificate of the server is not valid for it"):
                await client.read("https://other.example/", most_bytes=100)
            with pytest.raises(FetchRefused, match="redirects from https to http"):
                await client.read("https://localhost/down", most_bytes=100)
    assert asked == ["localhost", "other.example", "localhost"]
    assert {address for address, _ in connector.connections} == {PUBLIC}


async def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    async with fetcher() as client:
        with pytest.raises(FetchFailed, match="SSL_CERT_FILE"):
            await client.read("https://127.0.0.1:1/", most_bytes=1)


async def test_a_downgrade_is_followed_where_the_settings_say_so(authority: Authority) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.sign("server"))
    async with (
        mirror({"/": ok(b"plain")}) as plain,
        mirror({"/": redirect(plain.url())}, tls) as server,
        fetcher(settings(ALLOW="loopback", DOWNGRADE="yes")) as client,
    ):
        assert await client.read(f"https://127.0.0.1:{server.port}/", most_bytes=100) == b"plain"


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def endless_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\nx\r\n" * 1000)
        await writer.drain()


@pytest.mark.parametrize("answer", [endless, endless_chunks, ok(b"x" * 2000), ok(b"", length=10**12)])
async def test_a_body_ends_at_its_bound(answer: Answer) -> None:
    async with mirror({"/": answer}) as server, fetcher() as client:
        with pytest.raises(LimitExceeded, match="larger than the 1000 bytes") as raised:
            await client.read(server.url(), most_bytes=1000)
    assert raised.value.code == "limit-exceeded"


async def test_a_body_in_crumbs_is_given_up() -> None:
    given = settings(ALLOW="loopback", LOWEST_RATE="0")
    async with mirror({"/": endless_chunks}) as server, fetcher(given) as client:
        with pytest.raises(FetchFailed, match="in pieces of a few bytes"):
            await client.read(server.url(), most_bytes=10**9)


async def test_no_call_raises_the_bound_of_the_settings() -> None:
    async with mirror({"/": ok(b"x" * 200)}) as server, fetcher(settings(ALLOW="loopback", BYTES="100")) as client:
        with pytest.raises(LimitExceeded, match="the 100 bytes"):
            await client.read(server.url(), most_bytes=1000)


async def test_a_task_has_a_bound_for_all_that_it_fetches() -> None:
    given = settings(ALLOW="loopback", TASK_BYTES="250")
    async with mirror({"/": ok(b"x" * 100)}) as server, fetcher(given) as client:
        for _ in range(2):
            await client.read(server.url(), most_bytes=100)
        with pytest.raises(LimitExceeded, match=r"more than the 250 bytes .* \(PULP_FETCH_TASK_BYTES\)"):
            await client.read(server.url(), most_bytes=100)


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def three_pieces(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
    for _ in range(3):
        await asyncio.sleep(1.5)
        writer.write(b"x")
        await writer.drain()


async def test_who_waits_for_a_connection_does_not_wait_for_a_server() -> None:
    given = settings(ALLOW="loopback", CONNECT_S="0.5", READ_S="3", RATE_WINDOW_S="60")
    answers: dict[str, Answer] = {"/slow": three_pieces, "/": ok(b"hello")}
    async with mirror(answers) as server, Fetcher(given, {}, connections=1) as client:
        slow = asyncio.create_task(client.read(server.url("/slow"), most_bytes=10))
        while not server.heads:  # noqa: ASYNC110  # the first request has its connection
            await asyncio.sleep(0.01)
        assert await client.read(server.url(), most_bytes=10) == b"hello"
        assert await slow == b"xxx"


async def stopped(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")
    await writer.drain()
    await asyncio.sleep(3600)


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize(
    ("answer", "env", "words"),
    [
        (drip, {"RATE_WINDOW_S": "1"}, "it comes too slowly, less than 1000 bytes a second over 1 s"),
        (drip, {"TOTAL_S": "1"}, "it takes longer than 1 s"),
        (drip_head, {"CONNECT_S": "0.1", "READ_S": "0.3"}, "nothing comes in time"),
        (stopped, {"READ_S": "2", "RATE_WINDOW_S": "60"}, "the answer goes no further for 2 s"),
        (silent, {"READ_S": "0.2"}, "nothing comes in time"),
    ],
)
async def test_who_is_slow_is_given_up(answer: Answer, env: dict[str, str], words: str) -> None:
    given = settings(ALLOW="loopback", **env)
    async with asyncio.timeout(60), mirror({"/": answer}) as server, fetcher(given) as client:
        with pytest.raises(FetchFailed, match=words):
            await client.read(server.url(), most_bytes=100_000)


async def endless_interim(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"", "X: " + "y" * 70_000),
        ok(b"", *(f"X{number}: y" for number in range(9000))),
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
        endless_interim,
    ],
)
async def test_a_head_that_is_too_large(answer: Answer) -> None:
    async with mirror({"/": answer}) as server, fetcher() as client:
        with pytest.raises(FetchFailed, match=r"over 65536 bytes|no answer over HTTP"):
            await client.read(server.url(), most_bytes=1000)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-" + SECRET.encode() + b"\r\n",
        b"HTTP/1.1 200 " + SECRET.encode() + b"\r\nbad header " + SECRET.encode() + b"\r\n\r\n",
        b"HTTP/1.1 500 " + SECRET.encode() + b"\r\nX: " + SECRET.encode() + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 " + SECRET.encode() + b"\r\nLocation: file:///" + SECRET.encode() + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/" + SECRET.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + SECRET.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + SECRET.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + SECRET.encode() + b"\r\n",
        ok(SECRET.encode(), length=1000),
        ok(SECRET.encode(), f"Content-Encoding: {SECRET}"),
        ok(gzip.compress(SECRET.encode()), "Content-Encoding: gzip"),
    ],
)
async def test_no_text_of_a_server_is_in_an_error(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "pulp")
    async with mirror({"/": answer}) as server, fetcher() as client:
        with pytest.raises(FetchFailed) as raised:
            await client.read(server.url(), most_bytes=100_000)
    assert SECRET not in f"{raised.value} {raised.value.__cause__}"
    assert SECRET not in caplog.text


async def closed(writer: asyncio.StreamWriter) -> None:
    """Closes the connection immediately."""


async def test_closed_and_filtered_ports_and_those_that_speak_no_http_read_the_same() -> None:
    given = settings(ALLOW="loopback,private", READ_S="0.2", CONNECT_S="0.2")
    said = set()
    async with mirror({"/": b"220 smtp.example ESMTP\r\n", "/closed": closed, "/silent": silent}) as server:
        urls = [server.url("/"), server.url("/closed"), server.url("/silent"), f"https://127.0.0.1:{server.port}/"]
        for url, connector in [*((url, None) for url in urls), ("http://10.0.0.1/", Connector())]:
            async with fetcher(given, connector=connector) as client:
                with pytest.raises(FetchFailed) as raised:
                    await client.read(url, most_bytes=10)
            said.add(str(raised.value).partition(": ")[2])
    [text] = said
    assert text.startswith("no answer over HTTP: there is no connection, it ends early, or nothing comes in time")


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async with mirror({"/": ok(b"hello")}) as server:
        connector = Connector(server.port, dead=("2606:2800::1",))
        names = Names(mirror_example=[["2606:2800::1", PUBLIC]])
        async with fetcher(settings(), names=names, connector=connector) as client:
            assert await client.read("http://mirror.example/", most_bytes=10) == b"hello"
    assert connector.connections == [("2606:2800::1", 80), (PUBLIC, 80)]


async def test_a_body_that_is_longer_than_it_says_is_cut() -> None:
    async with mirror({"/": ok(b"hello", length=3)}) as server, fetcher() as client:
        assert await client.read(server.url(), most_bytes=10) == b"hel"


async def test_a_compressed_body_is_not_asked_for_and_not_undone() -> None:
    packed = gzip.compress(b"x" * 1_000_000)
    async with (
        mirror({"/": ok(packed, "Content-Encoding: gzip")}) as server,
        fetcher() as client,
        client.get(server.url()) as answer,
    ):
        assert b"".join([piece async for piece in answer.pieces()]) == packed
    assert "accept-encoding: identity" in server.heads[0].lower()


@pytest.mark.parametrize(
    ("status", "is_transient"),
    [("404 Not Found", False), ("403 No", False), ("503 Busy", True), ("429 Slow", True), ("500 Oh", True)],
)
async def test_what_may_work_the_next_time(status: str, is_transient: bool) -> None:
    async with mirror({"/": ok(b"", "Retry-After: 7", status=status)}) as server, fetcher() as client:
        with pytest.raises(FetchFailed, match=f"^{server.url()}: the server answered {status[:3]}$") as raised:
            await client.read(server.url(), most_bytes=10)
    assert (raised.value.is_transient, raised.value.pause_s) == (is_transient, 7 if is_transient else None)


async def test_transient_faults_are_tried_again_after_what_the_server_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(pause_s: float) -> None:
        slept.append(pause_s)

    faults = iter([FetchFailed("a", is_transient=True, pause_s=9.0), FetchFailed("b", is_transient=True)])

    async def attempt() -> str:
        for fault in faults:
            raise fault
        return "done"

    monkeypatch.setattr("pulp_worker.fetching.patience.asyncio.sleep", sleep)
    assert await patiently(attempt) == "done"
    assert slept[0] == 9.0
    assert 0.5 <= slept[1] <= 1.0


async def test_what_will_not_help_is_not_tried_again() -> None:
    tries = 0

    async def attempt() -> None:
        nonlocal tries
        tries += 1
        raise FetchFailed("away", is_transient=tries == 2, pause_s=3600.0)

    for _ in range(2):
        with pytest.raises(FetchFailed):
            await patiently(attempt, (0.0, 0.0))
    assert tries == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1e9", None),
        ("٣", None),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after(text: str, expected: float | None) -> None:
    assert asked_pause_s(text, datetime(2026, 1, 1, tzinfo=UTC)) == expected


def test_only_the_time_that_was_waited_for_the_server_counts() -> None:
    pace = Pace(lowest_rate=100, window_s=10)
    for _ in range(100):
        pace.note(0.5, 51)
    for _ in range(19):
        pace.note(0.5, 49)
    with pytest.raises(TooSlow):
        pace.note(0.5, 49)


async def test_the_default_is_no_loopback_and_the_local_stack_has_it() -> None:
    async with mirror({"/": ok(b"x")}) as server:
        async with fetcher(settings()) as client:
            with pytest.raises(FetchRefused):
                await client.read(server.url(), most_bytes=10)
        assert server.heads == []
        async with fetcher(LOCAL) as client:
            assert await client.read(server.url(), most_bytes=10) == b"x"
