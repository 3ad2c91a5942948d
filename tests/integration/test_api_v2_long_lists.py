"""Lists without a limit, as in Pulp 2: they come in pieces, but are one list."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.events import accepted
from tests.support.site import PARTITIONS, V2, Site


@pytest.fixture
async def made(api: Site, monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Ten tasks in the order of submission; a list reads three at a time."""
    monkeypatch.setattr("pulp_api.v2.listing.CHUNK_SIZE", 3)
    found = [uuid4() for _ in range(10)]
    for number, task_id in enumerate(found):
        tags = ("all", "even") if number % 2 == 0 else ("all",)
        await api.add(accepted(task_id, tags=tags), number % PARTITIONS)
    return found


async def numbers(api: Site, made: list[UUID], **params: Any) -> list[int]:
    answer = await api.client.get(f"{V2}/tasks/", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["pulp-position"] == "0:2,1:2,2:1,3:1"
    return [made.index(UUID(report["task_id"])) for report in answer.json()]


async def test_every_task_comes_once_in_the_order_of_submission(api: Site, made: list[UUID]) -> None:
    assert await numbers(api, made) == list(range(10))
    assert await numbers(api, made, tag="even") == [0, 2, 4, 6, 8]
    assert await numbers(api, made, state="waiting", skip=2) == [2, 3, 4, 5, 6, 7, 8, 9]
    for count in (0, 1, 2, 3, 4, 6, 7):  # on both sides of where a piece ends
        ids = [str(task_id) for task_id in made[:count]] or [str(uuid4())]
        assert await numbers(api, made, id=ids) == list(range(count))


async def test_a_search_that_sorts_by_id_is_such_a_list_too(api: Site, made: list[UUID]) -> None:
    criteria = {"filters": {"state": "waiting"}, "sort": [["id", "ascending"]], "fields": ["task_id"]}
    answer = await api.client.post(f"{V2}/tasks/search/", json={"criteria": criteria})
    assert "content-length" not in answer.headers
    assert [UUID(report["task_id"]) for report in answer.json()] == made
    criteria["sort"] = [["id", "descending"]]
    answer = await api.client.post(f"{V2}/tasks/search/", json={"criteria": criteria})
    assert [UUID(report["task_id"]) for report in answer.json()] == made[::-1]


async def test_head_of_a_long_list(api: Site, made: list[UUID]) -> None:
    answer = await api.client.head(f"{V2}/tasks/")
    assert (answer.status_code, answer.content) == (200, b"")
