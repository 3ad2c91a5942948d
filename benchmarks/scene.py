"""The installation of a benchmark: topics and a database of its own, and real processes."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_events.admin import create_topics
from pulp_events.kafka import client_settings
from pulp_events.topics import Topics
from pulp_projections.generations import install
from pulp_projections.reading.positions import Positions

PARTITIONS = 4
OPERATIONS = "benchmarks.operations"
LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Servers:
    """The Kafka and the Postgres that all benchmarks share."""

    kafka: str
    postgres: str
    bytecode: Path
    """The folder for compiled Python files, as in an installation, even if this machine forbids them elsewhere."""

    def environment(self) -> dict[str, str]:
        """The environment of our processes."""
        given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**given, "PYTHONPYCACHEPREFIX": str(self.bytecode)}


@dataclass(frozen=True, slots=True)
class Process:
    """A process of ours."""

    name: str
    process: asyncio.subprocess.Process

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


@dataclass
class Scene:
    """An installation of its own on the shared servers."""

    servers: Servers
    topics: Topics
    database: str
    folder: Path
    running: list[Process] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Where everything is."""
        prefix = self.topics.events.removesuffix(".events")
        return {"PULP_KAFKA": self.servers.kafka, "PULP_POSTGRES": self.database, "PULP_TOPIC_PREFIX": prefix}

    async def start(self, name: str, command: str, *arguments: str, **env: str) -> Process:
        """Start one of our processes; it ends with the scene."""
        environment = {
            **self.environment,
            "PULP_STORAGE": str(self.folder / "storage"),
            "PULP_WORKER_MODULES": OPERATIONS,
            "PULP_WORKER_NAME": name,
            **env,
        }
        return await self.run(name, sys.executable, "-m", "pulp_deploy", command, *arguments, **environment)

    async def run(self, name: str, *command: str, **env: str) -> Process:
        """Start any process; it ends with the scene. Its output goes to a file."""
        with (self.folder / f"{name}.log").open("w") as file:
            process = await asyncio.create_subprocess_exec(
                *command, env={**self.servers.environment(), **env}, stdout=file, stderr=file
            )
        self.running.append(Process(name, process))
        return self.running[-1]

    async def execute(self, statement: str, *parameters: Any) -> list[Any]:
        """Rows, or []."""
        async with await psycopg.AsyncConnection.connect(self.database, autocommit=True) as connection:
            cursor = await connection.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def stop(self) -> None:
        """End the processes."""
        for running in self.running:
            if running.process.returncode is None:
                running.process.terminate()
        for running in self.running:
            try:
                async with asyncio.timeout(40):
                    await running.process.wait()
            except TimeoutError:
                running.process.kill()
                await running.process.wait()
        self.running.clear()


@asynccontextmanager
async def scene(servers: Servers, partitions: int = PARTITIONS) -> AsyncIterator[Scene]:
    """A fresh installation, removed afterwards."""
    prefix = f"bench-{uuid4().hex[:12]}"
    topics = Topics.named(prefix)
    name = prefix.replace("-", "_")
    create_topics(servers.kafka, topics, partitions=partitions, replication=1)
    async with await psycopg.AsyncConnection.connect(servers.postgres, autocommit=True) as server:
        await server.execute(SQL("create database {}").format(Identifier(name)))
        database = make_conninfo(servers.postgres, dbname=name)
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            await install(connection, partitions)
        with tempfile.TemporaryDirectory(prefix="pulp-bench-") as folder:
            made = Scene(servers, topics, database, Path(folder))
            try:
                yield made
            finally:
                await made.stop()
                await server.execute(SQL("drop database {} with (force)").format(Identifier(name)))
                _delete(servers.kafka, topics)


@asynccontextmanager
async def following(database: str) -> AsyncIterator[Positions]:
    """The projection's positions, followed."""
    positions = Positions(database)
    await positions.start()
    try:
        yield positions
    finally:
        await positions.close()


def _delete(kafka: str, topics: Topics) -> None:
    admin = AdminClient(client_settings(kafka))  # its futures fail when it is closed
    for future in admin.delete_topics(list(topics)).values():
        future.result(LIMIT_S)
