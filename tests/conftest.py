"""The backend fixture: one Apache Kafka and one PostgreSQL for the whole run.

`--backend given` uses what PULP_KAFKA and PULP_POSTGRES name. Every test gets topics and a database of its own.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_events.admin import create_topics
from pulp_events.topics import Topics
from pulp_projections.generations import install

PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Backend:
    """Where the broker and the database of this run are."""

    kafka: str
    postgres: str


@pytest.fixture(scope="session")
def backend() -> Backend:
    return Backend(kafka=os.environ["PULP_KAFKA"], postgres=os.environ["PULP_POSTGRES"])


@pytest.fixture
def topics(backend: Backend) -> Topics:
    """Topics of the test's own, with `PARTITIONS` partitions."""
    names = Topics.named(f"test-{uuid4().hex[:12]}")
    create_topics(backend.kafka, names, partitions=PARTITIONS, replication=1)
    return names


@pytest.fixture
async def database(backend: Backend) -> AsyncIterator[str]:
    """The conninfo of an installed database of the test's own."""
    name = f"test_{uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(backend.postgres, autocommit=True) as server:
        await server.execute(SQL("create database {}").format(Identifier(name)))
        conninfo = make_conninfo(backend.postgres, dbname=name)
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            await install(connection, PARTITIONS)
        yield conninfo
        await server.execute(SQL("drop database {} with (force)").format(Identifier(name)))
