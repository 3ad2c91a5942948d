"""Ports on the loopback."""

import random
import socket
from contextlib import ExitStack, suppress
from typing import Final

import psutil

from pulp_deploy.errors import PortInUse

HOST: Final = "127.0.0.1"
_PORTS: Final = range(10_000, 32_768)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different.

    They are below the range of outgoing connections, so no connection takes one while its server restarts. Another
    program may still take one before it is used.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_PORTS, len(_PORTS)):
            if len(found) == count:
                break
            with suppress(OSError):
                held.enter_context(socket.socket()).bind((HOST, port))
                found.append(port)
    if len(found) < count:
        raise PortInUse(f"of the ports {_PORTS.start} to {_PORTS.stop - 1} on {HOST} no {count} are free")
    return found


def is_free(port: int) -> bool:
    """Whether a server of ours could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listener(port: int) -> str:
    """The program that listens on the port, if we may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return "a process of somebody else"
