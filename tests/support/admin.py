"""Run `pulp-admin` in this process, against a server that is one function."""

from collections.abc import Callable
from pathlib import Path

import httpx
from pulp_admin.app import App
from pulp_admin.client import Client
from pulp_admin.config import Config
from pulp_admin.main import run

Answer = Callable[[httpx.Request], httpx.Response]


def client_of(folder: Path, answer: Answer) -> Client:
    """A client of a server that is one function; the client keeps its memory in `folder`."""
    config = Config(
        url="http://pulp.test",
        url_source="the test",
        username="admin",
        password="secret",
        verify=True,
        ca_file=None,
        timeout_s=5,
        folder=folder,
    )
    return Client(config, transport=httpx.MockTransport(answer))


def admin(folder: Path, answer: Answer, *arguments: str) -> int:
    """The exit code of a command line; `folder` is the client's memory between commands."""
    return run(arguments, App({}, make_client=lambda _: client_of(folder, answer)))
