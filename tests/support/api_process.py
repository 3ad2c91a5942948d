"""The API as an operator runs it: a process of its own, on a real Kafka and a real Postgres."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from pulp_accounts.users import Role, add_user
from pulp_deploy.local.ports import free_ports
from pulp_events.topics import Topics

from tests.support.command import environment
from tests.support.site import PASSWORD, V3

LIMIT_S = 60


@dataclass
class ApiProcess:
    """A process `pulp-tasks api`."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.AsyncClient:
        """A client of the admin."""
        return httpx.AsyncClient(base_url=self.url, auth=("admin", PASSWORD), timeout=LIMIT_S, trust_env=False)

    def output(self) -> str:
        """Its output so far."""
        return self.log.read_text()

    async def said(self, text: str) -> str:
        """Its output, as soon as it contains the text; an error if the process ends without it."""
        async with asyncio.timeout(LIMIT_S):
            while text not in self.output():
                assert self.process.poll() is None or text in self.output(), self.output()
                await asyncio.sleep(0.02)
        return self.output()

    async def ended(self) -> int:
        """Its exit code, when it has ended."""
        return await asyncio.to_thread(self.process.wait, LIMIT_S)

    async def stopped(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def health(self, status: int) -> dict[str, Any]:
        """The body of `readyz`, once it answers with this status."""
        async with asyncio.timeout(LIMIT_S), httpx.AsyncClient(trust_env=False, timeout=LIMIT_S) as client:
            while True:
                answer = await client.get(f"{self.url}{V3}/readyz/")
                if answer.status_code == status:
                    found: dict[str, Any] = answer.json()
                    return found
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def events(self, query: str = "", headers: Mapping[str, str] | None = None) -> AsyncIterator[httpx.Response]:
        """The event stream after its headers; the connection is reset at the end."""
        async with self.client() as client, client.stream("GET", f"{V3}/events/{query}", headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield answer


@dataclass(frozen=True)
class Message:
    """A server-sent event: its id, its name and its data."""

    id: str
    name: str
    data: dict[str, Any]

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset."""
        return self.data["partition"], self.data["offset"]


class EventSource:
    """Reads a stream by the standard: an event is complete at the blank line after it."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        """The `Last-Event-ID` with which a client reconnects."""
        self.messages: list[Message] = []
        self._rest = b""

    def reconnect(self) -> None:
        """Discard an incomplete event after its connection broke."""
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Feed any piece of the stream."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":"))
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                self.messages.append(Message(self.last_id, fields.get("event", "message"), json.loads(fields["data"])))


@asynccontextmanager
async def api_process(
    kafka: str,
    database: str,
    topics: Topics,
    folder: Path,
    *,
    port: int = 0,
    ready: bool = True,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[ApiProcess]:
    """A process, killed at the end; by default ready at the beginning."""
    port = port or free_ports(1)[0]
    names = {"PULP_KAFKA": kafka, "PULP_POSTGRES": database, "PULP_TOPIC_PREFIX": topics.events.removesuffix(".events")}
    log = folder / f"api-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220  # it returns at once
            [sys.executable, "-m", "pulp_deploy", "api"],
            env=environment(folder, **{**names, "PULP_API_PORT": str(port), **(settings or {})}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    made = ApiProcess(process, port, log)
    try:
        if ready:
            await made.said("logger=pulp.api msg=listening")
        yield made
    finally:
        process.kill()
        process.wait()


async def add_admin(database: str) -> None:
    """The user of `ApiProcess.client`."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await add_user(connection, "admin", PASSWORD, Role.ADMIN)
