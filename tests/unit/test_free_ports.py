"""Ports of servers that are started, restarted and looked for again."""

import socket

import pytest
from pulp_deploy.local.ports import HOST, free_ports


def test_free_ports_are_different_free_and_not_those_of_outgoing_connections() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32_768  # where Linux begins by default; others begin at 49152
    for port in ports[:5]:
        with socket.socket() as server:
            server.bind((HOST, port))


def test_a_port_that_is_listened_on_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    [taken, free] = free_ports(2)
    monkeypatch.setattr("pulp_deploy.local.ports._PORTS", [taken, free])
    with socket.socket() as server:
        server.bind((HOST, taken))
        assert free_ports(1) == [free]
