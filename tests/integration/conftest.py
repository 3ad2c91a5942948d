"""The API, a projector, and a relay, over a real Postgres."""

from collections.abc import AsyncIterator

import pytest
from pulp_processor.consuming import internals
from pulp_projections.writing.projector import Projector

from tests.support.postgres_relay import PostgresRelay, postgres_relay
from tests.support.site import Site, site


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """As a process does when it starts: tests rebuild generations in this one."""
    internals.install()


@pytest.fixture
async def api(database: str) -> AsyncIterator[Site]:
    """An API for this test only, and its admin's client."""
    async with site(database) as made:
        yield made


@pytest.fixture
async def projector(database: str) -> AsyncIterator[Projector]:
    """The projector of partition 0, which knows its position."""
    projector = Projector(database, 0)
    await projector.locate()
    yield projector
    await projector.close()


@pytest.fixture
async def relay(database: str) -> AsyncIterator[PostgresRelay]:
    """A connection to the database that can be cut, and can lose or delay its answers."""
    async with postgres_relay(database) as made:
        yield made
