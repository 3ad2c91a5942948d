"""The API understands the recurring part of the load: schedules are created once and disabled at the end, purges
submitted.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from psycopg.types.json import Json

from tests.faults.recurring import RUNS, SCHEDULES, Recurring
from tests.integration.test_api_schedules import scheduling
from tests.support.site import V3, Site, site


@pytest.fixture
async def api(database: str) -> AsyncIterator[Site]:
    """An API of the test's own."""
    async with site(database) as made:
        yield made


async def test_schedules_are_made_once_and_disabled_and_purges_are_submitted(api: Site) -> None:
    for name in ("purge-tasks", "faults-async"):
        await api.execute(
            "insert into operations (name, cancellable, description, resources, registered_by) values (%s, true, '', %s, 'w1')",
            name,
            Json([]),
        )
    await scheduling(api)
    answers: list[tuple[str, int]] = []
    stopping = asyncio.Event()

    async def send(what: str, method: str, path: str, **more: Any) -> httpx.Response | None:
        answer = await api.client.request(method, path, **more)
        answers.append((what, answer.status_code))
        if what == "schedule" and len(answers) == 1:
            return None  # as if the connection had broken: the request is repeated
        if what == "purge":
            stopping.set()
        return answer

    async with asyncio.timeout(60):
        await Recurring(send, 7, stopping).run()
    assert answers == [*[("schedule", 201)] * 3, ("purge", 202), *[("disable", 200)] * 2]
    shown = (await api.client.get(SCHEDULES)).json()["results"]
    assert sorted((each["name"], each["enabled"]) for each in shown) == [("every 10 s", False), ("every 15 s", False)]
    [purge] = (await api.client.get(f"{V3}/tasks/", params={"name": "purge-tasks"})).json()["results"]
    assert purge["state"] == "waiting"
    async with api.connect() as connection:
        assert await (await connection.execute(RUNS)).fetchall() == []
