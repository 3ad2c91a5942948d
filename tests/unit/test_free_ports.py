"""Ports of servers that are started, restarted and found again."""

import socket
import subprocess
import sys

import pytest
from pulp_deploy.errors import PortInUse
from pulp_deploy.local import ports
from pulp_deploy.local.ports import HOST, free_ports, is_free


def server_on(port: int) -> socket.socket:
    """A server like those of asyncio, Postgres and Java."""
    return socket.create_server((HOST, port), reuse_port=False)


def test_free_ports_are_different_free_and_not_those_of_outgoing_connections() -> None:
    found = free_ports(50)
    assert len(set(found)) == 50
    assert max(found) < 32_768  # where Linux begins by default; others begin at 49152
    for port in found[:5]:
        with server_on(port):
            assert not is_free(port)
        assert is_free(port)


def test_a_port_that_is_listened_on_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    [taken] = free_ports(1)
    with server_on(taken):
        monkeypatch.setattr(ports, "_PORTS", range(taken, taken + 1))
        with pytest.raises(PortInUse, match=rf"{taken} to {taken} on {HOST} no 1 are free"):
            free_ports(1)


def test_a_port_is_not_given_twice_before_its_server_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    given = free_ports(3)
    monkeypatch.setattr(ports, "_PORTS", range(min(given), max(given) + 1))
    assert not set(free_ports(1)) & set(given)
    elsewhere = "import sys; from pulp_deploy.local import ports; n = int(sys.argv[1]); ports._PORTS = range(n, n + 1)"
    asked = subprocess.run(
        [sys.executable, "-c", f"{elsewhere}; ports.free_ports(1)", str(given[0])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PortInUse" in asked.stderr


def test_reserved_ports_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_MOST_RESERVED", 5)
    for _ in range(4):
        free_ports(3)
    assert len(ports._reserved) == 5
    assert len(set(free_ports(8))) == 8
