"""The destinations from which a worker may fetch: kinds of addresses, lists of the settings, and spellings of an
address.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pulp_events.settings import SettingsError
from pulp_runtime.outgoing.addresses import Kind, kind_of
from pulp_runtime.outgoing.rules import Refused
from pulp_worker.bounds import fetch_settings
from pulp_worker.fetching.rules import Rules

PUBLIC, PRIVATE, LOOPBACK, NEVER = "93.184.216.34", "10.1.2.3", "127.0.0.1", "169.254.169.254"
KINDS = {
    Kind.PUBLIC: [
        "93.184.216.34",
        "172.32.0.1",
        "100.128.0.1",
        "2606:2800:220:1::1",
        "::ffff:93.184.216.34",
        "64:ff9b::5db8:d822",
    ],
    Kind.PRIVATE: [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "fd12::1",
        "fc00::1",
        "::ffff:10.0.0.1",
    ],
    Kind.LOOPBACK: ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"],
    Kind.NEVER: [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00:ec2::254",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "239.1.1.1",
        "ff02::1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "::10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2002:5db8:d822::1",
        "2001:0:5db8:d822::1",
        "2001:db8::1",
        "192.0.2.1",
        "100::1",
        "5f00::1",
        "4000::1",
        "2606:2800::5efe:7f00:1",
        "2606:2800::200:5efe:a00:1",
    ],
}


@pytest.mark.parametrize(("text", "kind"), [(text, kind) for kind, texts in KINDS.items() for text in texts])
def test_kinds_of_addresses(text: str, kind: Kind) -> None:
    assert kind_of(ip_address(text)) is kind


@given(st.ip_addresses(v=4))
def test_an_ipv4_mapped_address_is_what_the_address_in_it_is(address: IPv4Address) -> None:
    assert kind_of(ip_address(f"::ffff:{address}")) is kind_of(address)


@given(st.ip_addresses())
@example(ip_address("192.88.99.1"))
@example(ip_address("64:ff9b::808:808"))
def test_what_is_public_is_global_for_python_as_well(address: IPv4Address | IPv6Address) -> None:
    if kind_of(address) is Kind.PUBLIC:
        assert address.is_global
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        assert kind_of(address) is Kind.NEVER


def rules(**env: str) -> Rules:
    return fetch_settings({f"PULP_FETCH_{key}": value for key, value in env.items()}).rules


def may(checked: Rules, host: str, address: str | None = None, port: int = 443) -> bool:
    """Whether one may fetch from the host, which has this address."""
    try:
        checked.check_host(host, port)
        checked.check_address(host, ip_address(address or host.strip("[]")))
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("env", "allowed", "refused"),
    [
        ({}, [PUBLIC, PRIVATE, "fd12::1"], [LOOPBACK, "::1", NEVER]),
        ({"ALLOW": "public"}, [PUBLIC], [PRIVATE, LOOPBACK, NEVER]),
        ({"ALLOW": "public,private,loopback"}, [PUBLIC, PRIVATE, LOOPBACK, "::1", "::ffff:127.0.0.1"], [NEVER]),
        ({"ALLOW": "10.1.0.0/16, fd12::/16"}, [PRIVATE, "::ffff:10.1.2.3", "fd12::1"], ["10.2.0.1", PUBLIC, LOOPBACK]),
        ({"ALLOW": "0.0.0.0/0,::/0"}, [PUBLIC, PRIVATE, LOOPBACK], [NEVER, "fe80::1", "0.0.0.0", "ff02::1"]),
        ({"DENY": "10.1.2.0/24"}, ["10.1.3.1", PUBLIC], [PRIVATE, "::ffff:10.1.2.3"]),
        ({"DENY": "private"}, [PUBLIC], [PRIVATE, "fd12::1"]),
        ({"DENY": "93.184.0.0/16"}, [PRIVATE], [PUBLIC, "64:ff9b::5db8:d822"]),
    ],
)
def test_lists_of_networks(env: dict[str, str], allowed: list[str], refused: list[str]) -> None:
    checked = rules(**env)
    assert [host for host in allowed if not may(checked, host)] == []
    assert [host for host in refused if may(checked, host)] == []


@pytest.mark.parametrize(
    ("env", "host", "address", "expected"),
    [
        ({"ALLOW": "mirror.example.org"}, "mirror.example.org", PUBLIC, True),
        ({"ALLOW": "mirror.example.org"}, "MIRROR.example.org.", PRIVATE, True),
        ({"ALLOW": "mirror.example.org"}, "mirror.example.org", LOOPBACK, False),
        ({"ALLOW": "mirror.example.org"}, "mirror.example.org", NEVER, False),
        ({"ALLOW": "mirror.example.org"}, "evil.mirror.example.org", PUBLIC, False),
        ({"ALLOW": "*.example.org"}, "a.b.example.org", PUBLIC, True),
        ({"ALLOW": "*.example.org"}, "badexample.org", PUBLIC, False),
        ({"ALLOW": "mirror.example.org,loopback"}, "mirror.example.org", LOOPBACK, True),
        ({"DENY": "*.corp.example"}, "wiki.corp.example", PUBLIC, False),
        ({"DENY": "*.corp.example"}, "wiki.CORP.example.", PUBLIC, False),
        ({"DENY": "*.corp.example"}, "example.org", PUBLIC, True),
        ({}, "metadata.google.internal", PRIVATE, False),
    ],
)
def test_lists_of_names(env: dict[str, str], host: str, address: str, expected: bool) -> None:
    assert may(rules(**env), host, address) is expected


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.1",
        "1.2.3",
        "0x",
        "fe80::1%25eth0",
        "::1%lo",
        "",
        ".",
        "127.0.0.0x1",
        "example.0x7f",
    ],
)
def test_other_ways_to_write_an_address_are_refused(host: str) -> None:
    with pytest.raises(Refused):
        rules(ALLOW="public,private,loopback,0.0.0.0/0").check_host(host, 443)


@pytest.mark.parametrize(
    ("env", "port", "expected"),
    [({}, 80, True), ({}, 443, True), ({}, 8080, True), ({}, 22, False), ({}, 25, False), ({}, 0, False)]
    + [({"PORTS": "443,8000-8999"}, port, port in (443, 8500)) for port in (80, 443, 8500, 9000)],
)
def test_ports(env: dict[str, str], port: int, expected: bool) -> None:
    assert may(rules(**env), PUBLIC, port=port) is expected


@pytest.mark.parametrize(
    ("env", "host", "expected"),
    [
        ({}, "example.org", True),
        ({}, "169.254.169.254", False),
        ({}, "metadata.google.internal", False),
        ({"DENY": "example.org"}, "example.org", False),
        ({"ALLOW": "10.0.0.0/8"}, "example.org", False),
        ({"ALLOW": "10.0.0.0/8,example.org"}, "example.org", True),
        ({}, "2130706433", False),
    ],
)
def test_what_is_asked_of_a_proxy(env: dict[str, str], host: str, expected: bool) -> None:
    try:
        rules(**env).check_through_proxy(host, 443)
    except Refused:
        assert not expected
    else:
        assert expected


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("PULP_FETCH_ALLOW", "everything!", "neither public, private or loopback"),
        ("PULP_FETCH_ALLOW", "10.0.0.0/33", "10.0.0.0/33"),
        ("PULP_FETCH_DENY", "127.1", "127.1"),
        ("PULP_FETCH_PORTS", "90-80", "ports and ranges are expected"),
        ("PULP_FETCH_DOWNGRADE", "perhaps", "one of no, yes is expected"),
        ("PULP_FETCH_BYTES", "0", "at least 1"),
        ("PULP_FETCH_READ_S", "soon", "a number of at least 0.1 is expected"),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=key) as raised:
        fetch_settings({key: value})
    assert words in str(raised.value)
