"""Ports on the loopback."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final

import psutil

from pulp_deploy.errors import PortInUse

HOST: Final = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different. Somebody else may still take one before it is used."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def check_free(ports: Iterable[tuple[str, int]]) -> None:
    """Raise `PortInUse` for the first of the (purpose, port) pairs that something listens on."""
    for purpose, port in ports:
        if not _is_free(port):
            raise PortInUse(
                f"port {port} on {HOST}, needed for {purpose}, is in use{_owner(port)}:"
                " stop what uses it, or choose another port"
            )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _owner(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return ""
