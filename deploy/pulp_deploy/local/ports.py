"""Ports on the loopback."""

import os
import random
import socket
from collections import deque
from contextlib import suppress
from typing import Final

import psutil

from pulp_deploy.errors import PortInUse

HOST: Final = "127.0.0.1"
_PORTS: Final = range(10_000, 32_768)


_MOST_RESERVED: Final = 200
_reserved: deque[int] = deque()
"""File descriptors of sockets that keep the ports which this process was given, the oldest first."""


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different, and given to nobody else by this function for a while.

    Each stays bound, without listening, until 200 others were asked for or the process ends: a server may listen on it
    meanwhile, if it sets SO_REUSEADDR as ours do, but no other call finds it free, in whatever process. They are below
    the range of outgoing connections, so no connection takes one while its server restarts.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        with suppress(OSError):
            _reserve(port)
            found.append(port)
    if len(found) < count:
        for _ in found:
            os.close(_reserved.pop())
        raise PortInUse(f"of the ports {_PORTS.start} to {_PORTS.stop - 1} on {HOST} no {count} are free")
    while len(_reserved) > max(count, _MOST_RESERVED):
        os.close(_reserved.popleft())
    return found


def _reserve(port: int) -> None:
    with socket.socket() as probe:
        probe.bind((HOST, port))
        # Only after it is bound: two sockets with the option may have the same port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _reserved.append(probe.detach())


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
