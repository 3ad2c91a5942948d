"""The backend fixture: one Apache Kafka and one PostgreSQL for the whole run.

`--backend` chooses where they come from (`tests/support/backends.py`). Every test gets its own topics and database.
"""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_events.admin import create_topics
from pulp_events.topics import Topics
from pulp_projections.generations import install

from tests.support.backends import BACKENDS, Backend, chosen_backend
from tests.support.sample import is_chosen

PARTITIONS = 4
YUM_EXAMPLES = 12
LIST_REQUESTS = 250
SCHEMATHESIS_EXAMPLES = 2
_LEFT_OUT = pytest.StashKey[list[Path]]()

# A slow example on a busy machine is not a failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        choices=sorted(BACKENDS),
        help="which Kafka and Postgres: started here (local, the default), the oldest supported versions (oldest), in"
        " containers, or those that PULP_KAFKA and PULP_POSTGRES name (given; the default if both are set)",
    )
    parser.addoption(
        "--sample",
        type=float,
        default=1.0,
        metavar="PART",
        help="run about this part of the test files, chosen by chance, and all unit and contract tests (default: all)",
    )
    parser.addoption(
        "--sample-seed", type=int, default=random.randrange(10**9), help="which files they are (default: any)"
    )
    parser.addoption(
        "--yum-examples",
        type=int,
        default=YUM_EXAMPLES,
        help="how many yum repositories by chance are synced and published (default: %(default)s)",
    )
    parser.addoption(
        "--measures-seed",
        type=int,
        default=random.randrange(10**9),
        help="which measures of the benchmarks run in continuous integration (default: any)",
    )
    parser.addoption(
        "--list-requests",
        type=int,
        default=LIST_REQUESTS,
        help="how many requests by chance are made for lists (default: %(default)s; all: 2500)",
    )
    parser.addoption(
        "--list-seed", type=int, default=random.randrange(10**9), help="which ones they are (default: any)"
    )
    parser.addoption(
        "--schemathesis-examples",
        type=int,
        default=SCHEMATHESIS_EXAMPLES,
        help="how many requests Schemathesis makes of each call and kind (default: %(default)s)",
    )
    parser.addoption(
        "--schemathesis-seed",
        type=int,
        default=random.randrange(10**9),
        help="which ones they are (default: any)",
    )
    parser.addoption(
        "--collections",
        help="the folder with Ansible's collection pulp.squeezer, for a machine that does not reach Galaxy",
    )
    parser.addoption("--yum-seed", type=int, default=random.randrange(10**9), help="which ones they are (default: any)")
    parser.addoption(
        "--purge-seed",
        type=int,
        default=random.randrange(10**9),
        help="where purges are when they are interrupted (default: anywhere)",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that are not in the sample."""
    if collection_path.is_dir() or is_chosen(
        collection_path, config.getoption("--sample"), config.getoption("--sample-seed")
    ):
        return None
    config.stash.setdefault(_LEFT_OUT, []).append(collection_path)
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a browser come last: its driver occupies the event loop of the main thread until the end."""
    items.sort(key=lambda item: item.path.is_relative_to(Path(__file__).parent / "web"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(_LEFT_OUT, [])
    if left_out:
        terminalreporter.write_line(
            f"NOT RUN: {len(left_out)} test files that are not in this sample"
            f" (--sample {config.getoption('--sample')} --sample-seed {config.getoption('--sample-seed')});"
            " all run with: ./dev test"
        )


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [
        f"backend: {chosen_backend(config.getoption('--backend'))}",
        f"schemathesis: --schemathesis-seed {config.getoption('--schemathesis-seed')}",
    ]


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The broker and the database, started once, for the first test that needs them."""
    with BACKENDS[chosen_backend(request.config.getoption("--backend"))]() as started:
        yield started


@pytest.fixture
def topics(backend: Backend) -> Topics:
    """New topics with `PARTITIONS` partitions."""
    names = Topics.named(f"test-{uuid4().hex[:12]}")
    create_topics(backend.kafka, names, partitions=PARTITIONS, replication=1)
    return names


@pytest.fixture
async def database(backend: Backend) -> AsyncIterator[str]:
    """The conninfo of a new database with all tables."""
    name = f"test_{uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(backend.postgres, autocommit=True) as server:
        await server.execute(SQL("create database {}").format(Identifier(name)))
        conninfo = make_conninfo(backend.postgres, dbname=name)
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            await install(connection, PARTITIONS)
        yield conninfo
        await server.execute(SQL("drop database {} with (force)").format(Identifier(name)))
