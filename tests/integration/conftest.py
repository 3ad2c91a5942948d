"""The API over a real Postgres, for the tests of its two dialects."""

from collections.abc import AsyncIterator

import pytest

from tests.support.site import Site, site


@pytest.fixture
async def api(database: str) -> AsyncIterator[Site]:
    """An API of the test's own, and its admin's client."""
    async with site(database) as made:
        yield made
