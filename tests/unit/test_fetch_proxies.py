"""Proxies from the environment for a worker's fetches: the same as for `pulp-admin`, and named by their variable."""

import pytest
from pulp_admin.proxies import proxy_for as proxy_of_the_client
from pulp_runtime.outgoing.proxies import Proxy, proxy_for
from pulp_worker.fetching import FetchFailed

from tests.support.mirror import LOCAL, Connector, Names, fetcher, mirror, ok

P, Q = "http://p:1", "http://q:1"
ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"HTTP_PROXY": P, "https_proxy": Q},
    {"ALL_PROXY": P, "NO_PROXY": "example.org:443,[2606:2800::1]"},
    {"https_proxy": "p:1", "HTTPS_PROXY": Q},
    {"HTTPS_PROXY": P, "NO_PROXY": "::1,fe80::/10,[::1],.example.org"},
    {"ALL_PROXY": P, "NO_PROXY": "*"},
    {"ALL_PROXY": P, "NO_PROXY": "2606:2800::/32 10.0.0.0/8"},
    {"HTTP_PROXY": " ", "ALL_PROXY": P},
]
PLACES = [("http", "example.org", 80), ("https", "pulp.example.org", 443), ("https", "2606:2800::1", 443)]
PLACES += [("http", "10.1.1.1", 8080), ("http", "127.0.0.1", 80), ("https", "localhost.", 443), ("http", "::1", 80)]


@pytest.mark.parametrize("env", ENVIRONMENTS)
@pytest.mark.parametrize("place", PLACES)
def test_worker_and_client_choose_the_same_proxy(env: dict[str, str], place: tuple[str, str, int]) -> None:
    scheme, host, port = place
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    ours, theirs = proxy_for(scheme, host, port, env), proxy_of_the_client(url, env)
    assert (ours and (ours.url, ours.variable)) == (theirs and (theirs.url, theirs.named_by))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("socks://jo:secret@p:1", "ALL_PROXY names a SOCKS proxy"),
        ("socks5h://p:1", "ALL_PROXY names a SOCKS proxy"),
        ("ftp://p:1", "ALL_PROXY names no proxy over http or https"),
        ("http://[::1", "ALL_PROXY is not the URL of a proxy"),
        ("http://p:port", "ALL_PROXY is not the URL of a proxy"),
        ("http://", "ALL_PROXY is not the URL of a proxy"),
    ],
)
async def test_what_is_no_proxy_is_told_by_its_variable(value: str, words: str) -> None:
    async with fetcher(ALL_PROXY=value) as client:
        with pytest.raises(FetchFailed, match=words) as raised:
            await client.read("http://example.org/", most_bytes=10)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_dead_proxy_is_the_proxys_fault(scheme: str) -> None:
    async with fetcher(connector=Connector(), ALL_PROXY="http://jo:secret@proxy.example:3128") as client:
        with pytest.raises(FetchFailed) as raised:
            await client.read(f"{scheme}://example.org/x", most_bytes=10)
    text = f"{scheme}://example.org/x: the proxy http://proxy.example:3128, which ALL_PROXY names, cannot be reached"
    assert str(raised.value) == text


async def test_a_proxy_that_does_not_connect_is_named_without_its_words() -> None:
    async with mirror({}) as proxy:
        proxy.answers["example.org:443"] = ok(b"", status="403 secret words")
        async with fetcher(HTTPS_PROXY=proxy.url()) as client:
            with pytest.raises(FetchFailed, match="HTTPS_PROXY names, does not connect to it") as raised:
                await client.read("https://example.org/x", most_bytes=10)
    assert "secret" not in str(raised.value)


async def test_a_proxy_fetches_what_the_rules_allow_and_gets_its_own_credentials_alone() -> None:
    async with (
        mirror({"http://example.org/x": ok(b"hello")}) as proxy,
        fetcher(http_proxy=f"http://jo:word@127.0.0.1:{proxy.port}") as client,
    ):
        assert await client.read("http://example.org/x", most_bytes=10) == b"hello"
        for url in ("http://169.254.169.254/", "http://metadata.google.internal/", "http://0x7f.1/"):
            with pytest.raises(FetchFailed, match="do not allow to fetch from there"):
                await client.read(url, most_bytes=10)
    [head] = proxy.heads
    assert head.lower().count("proxy-authorization: basic") == 1


async def test_loopback_has_no_proxy() -> None:
    async with mirror({"/x": ok(b"hello")}) as server, fetcher(LOCAL, ALL_PROXY="socks://nowhere") as client:
        assert await client.read(server.url("/x"), most_bytes=10) == b"hello"


async def test_names_without_a_proxy_are_resolved_here() -> None:
    names = Names(example_org=[["93.184.216.34"]])
    async with mirror({"/x": ok(b"hello")}) as server:
        connector = Connector(server.port)
        async with fetcher(names=names, connector=connector, ALL_PROXY=P, NO_PROXY="example.org") as client:
            assert await client.read("http://example.org/x", most_bytes=10) == b"hello"
    assert connector.connections == [("93.184.216.34", 80)]


def test_a_proxy_is_shown_without_its_password() -> None:
    assert Proxy("http://jo:secret@p:1/", "ALL_PROXY").shown == "http://p:1"
