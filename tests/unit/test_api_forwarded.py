"""The client and the URL of a request behind proxies: RFC 7239, and the older headers."""

import pytest
from pulp_api.front.addresses import Proxies, site_of
from pulp_api.front.forwarded import AUTO, FORWARDED, X_FORWARDED, BadForwarding, Forwarding, Hop, hop_of
from pulp_api.settings import Settings
from pulp_events.settings import SettingsError
from starlette.types import Receive, Scope, Send

PROXIES = Proxies.parse(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"], "PULP_API_TRUSTED_PROXIES")


def hop(way: str = AUTO, **fields: str) -> Hop | None:
    headers = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()]
    return hop_of(headers, PROXIES, way)


@pytest.mark.parametrize(
    ("field", "client", "port"),
    [
        ("for=203.0.113.5", "203.0.113.5", 0),
        ("For=203.0.113.5", "203.0.113.5", 0),
        ('for="203.0.113.5:4711"', "203.0.113.5", 4711),
        ('for="[2001:db8::5]"', "2001:db8::5", 0),
        ('for="[2001:db8::5]:4711"', "2001:db8::5", 4711),
        ('for="[2001:DB8:0:0::5]"', "2001:db8::5", 0),
        ('for="[::ffff:203.0.113.5]"', "203.0.113.5", 0),
        ("for=unknown", "unknown", 0),
        ("for=_hidden", "_hidden", 0),
        ('for="_hidden:_port"', "_hidden", 0),
        ('for="203.0.113.5:_port"', "203.0.113.5", 0),
        # The client came first and said something; the last word is the proxy's.
        ("for=198.51.100.1, for=203.0.113.5", "203.0.113.5", 0),
        ("for=198.51.100.1, for=203.0.113.5, for=10.0.0.1", "203.0.113.5", 0),
        ("for=198.51.100.1,,  ,for=203.0.113.5 ;proto=http", "203.0.113.5", 0),
        ('for=203.0.113.5, for="[2001:db8:1::9]"', "203.0.113.5", 0),
        ("for=203.0.113.5, for=unknown, for=10.0.0.1", "unknown", 0),
        ("for=10.0.0.2, for=10.0.0.1", "10.0.0.2", 0),
        (r'for="203.0.113\.5"', "203.0.113.5", 0),
        ('for="a, for=b", for=203.0.113.5', None, 0),
    ],
)
def test_the_client_of_forwarded(field: str, client: str | None, port: int) -> None:
    if client is None:
        with pytest.raises(BadForwarding):
            hop(forwarded=field)
        return
    found = hop(forwarded=field)
    assert found is not None
    assert (found.client, found.port) == (client, port)


@pytest.mark.parametrize(
    ("field", "client", "port"),
    [
        ("203.0.113.5", "203.0.113.5", 0),
        ("203.0.113.5:4711", "203.0.113.5", 4711),
        ("2001:db8::5", "2001:db8::5", 0),
        ("[2001:db8::5]:4711", "2001:db8::5", 4711),
        ("198.51.100.1, 203.0.113.5", "203.0.113.5", 0),
        ("198.51.100.1,203.0.113.5 , 10.0.0.1, 192.0.2.7", "203.0.113.5", 0),
        ("unknown, 10.0.0.1", "unknown", 0),
        ("10.0.0.1", "10.0.0.1", 0),
    ],
)
def test_the_client_of_x_forwarded_for(field: str, client: str, port: int) -> None:
    found = hop(x_forwarded_for=field)
    assert found is not None
    assert (found.client, found.port) == (client, port)


def test_scheme_and_host_are_those_that_the_same_proxy_saw() -> None:
    line = 'for=198.51.100.1;proto=http;host=evil, for=203.0.113.5;proto=HTTPS;host="pulp.example:8443", for=10.0.0.1'
    assert hop(forwarded=line) == Hop("203.0.113.5", 0, "https", "pulp.example:8443")
    assert hop(forwarded="proto=https;host=pulp.example") == Hop(None, 0, "https", "pulp.example")
    assert hop(x_forwarded_for="203.0.113.5, 10.0.0.1", x_forwarded_proto="https", x_forwarded_host="pulp.example") == (
        Hop("203.0.113.5", 0, "https", "pulp.example")
    )
    assert hop(x_forwarded_for="6.6.6.6, 203.0.113.5, 10.0.0.1", x_forwarded_proto="http, https, http") == Hop(
        "203.0.113.5", 0, "https", None
    )
    assert hop(x_forwarded_proto="https") == Hop(None, 0, "https", None)
    assert hop(host="pulp.example") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"forwarded": 'for="203.0.113.5'},
        {"forwarded": 'for="198.51.100.1, for=203.0.113.5'},
        {"forwarded": "for"},
        {"forwarded": "for=203.0.113.5;for=198.51.100.1"},
        {"forwarded": "for=203.0.113.5 for=198.51.100.1"},
        {"forwarded": "for=[2001:db8::5]"},
        {"forwarded": 'for="[nonsense]"'},
        {"forwarded": "for=203.0.113.5;proto=ftp"},
        {"forwarded": 'for=203.0.113.5;host="a/b"'},
        {"x_forwarded_for": "<script>"},
        {"x_forwarded_for": "a" * 200},
        {"x_forwarded_for": "203.0.113.5", "x_forwarded_proto": "javascript"},
        {"x_forwarded_for": "203.0.113.5", "x_forwarded_host": "a b"},
        # A proxy that appends to one of them, and hands on the other as the client sent it.
        {"x_forwarded_for": "203.0.113.5", "forwarded": "for=198.51.100.1"},
        {"x_forwarded_for": "203.0.113.5", "forwarded": "for=203.0.113.5;proto=https"},
        {"x_forwarded_proto": "https", "forwarded": "for=198.51.100.1;proto=https"},
    ],
)
def test_what_cannot_be_read_or_says_two_things_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(BadForwarding):
        hop(**fields)


def test_one_of_the_two_can_be_chosen() -> None:
    both = {"x_forwarded_for": "203.0.113.5", "forwarded": "for=198.51.100.1"}
    assert hop(X_FORWARDED, **both) == Hop("203.0.113.5")
    assert hop(FORWARDED, **both) == Hop("198.51.100.1")


async def test_only_trusted_proxies_are_believed() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    headers = [(b"host", b"inner"), (b"forwarded", b"for=203.0.113.5;proto=https;host=pulp.example")]
    for peer in ("10.1.2.3", "192.0.2.7", "::ffff:10.1.2.3", "192.0.2.8", "testclient", "2001:db8:2::1"):
        scope: Scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers, "path": "/"}

        async def nothing() -> dict[str, str]:
            return {}

        async def ignore(message: object) -> None: ...

        await Forwarding(app, PROXIES, AUTO)(scope, nothing, ignore)
    told = [(scope["client"][0], scope["scheme"], dict(scope["headers"])[b"host"]) for scope in seen]
    assert told == [("203.0.113.5", "https", b"pulp.example")] * 3 + [
        (peer, "http", b"inner") for peer in ("192.0.2.8", "testclient", "2001:db8:2::1")
    ]


def test_an_ipv6_site_counts_as_one_client() -> None:
    assert site_of("2001:db8::1") == site_of("2001:db8::ffff:1") != site_of("2001:db8:0:1::1")
    assert site_of("::ffff:203.0.113.5") == site_of("203.0.113.5") == "203.0.113.5"
    assert site_of("fe80::1%eth0") == site_of("fe80::2")


ENV = {"PULP_KAFKA": "k:1", "PULP_POSTGRES": "dbname=x"}


def test_nobody_is_trusted_by_default() -> None:
    assert not Settings.read(ENV).proxies
    assert "10.0.0.1" in Settings.read({**ENV, "PULP_API_TRUSTED_PROXIES": "10.0.0.1, 2001:db8::/32"}).proxies


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PULP_API_TRUSTED_PROXIES", "proxy.example"),
        ("PULP_API_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("PULP_API_FORWARDED", "both"),
        ("PULP_API_ACCESS_LOG", "maybe"),
        ("PULP_API_HSTS_S", "-1"),
        ("PULP_API_CLIENTS", "0"),
        ("PULP_API_HEAD_BYTES", "none"),
        ("PULP_API_TLS_KEY", "key.pem"),
        ("PULP_API_TLS_CERTIFICATE", "certificate.pem"),
        ("PULP_API_TLS_CLIENT_CA", "ca.pem"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=key):
        Settings.read({**ENV, key: value})
