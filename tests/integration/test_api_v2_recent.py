"""The list of all tasks of the v2 dialect ends where Pulp's did; whatever is requested by name is always found."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from pulp_api.settings import LISTED_S

from tests.support.events import accepted, finished, started
from tests.support.site import START_MS, V2, Site

AGO_S = (datetime.now(UTC).timestamp() - START_MS / 1000) + 86_400
"""The age of the events of a site, and a day."""


@pytest.fixture
def api(api: Site) -> Site:
    """A site with the default period."""
    api.service.listed_s = LISTED_S
    return api


async def ids(api: Site, **params: object) -> list[str]:
    answer = await api.client.get(f"{V2}/tasks/", params=params)  # type: ignore[arg-type]  # texts
    assert answer.status_code == 200, answer.text
    return [report["task_id"] for report in answer.json()]


async def add(api: Site, *, is_ended: bool) -> UUID:
    task_id = uuid4()
    await api.add(accepted(task_id))
    if is_ended:
        await api.add(started(task_id))
        await api.add(finished(task_id))
    return task_id


async def test_an_idle_server_does_not_list_what_ended_long_ago(api: Site) -> None:
    old, waiting = await add(api, is_ended=True), await add(api, is_ended=False)
    assert await ids(api) == [str(waiting)]
    assert await ids(api, limit=5) == [str(waiting)]
    by_name: list[dict[str, object]] = [{"id": str(old)}, {"state": "finished"}, {"until": "2023-11-14T22:13:22Z"}]
    for named in by_name:
        assert await ids(api, **named) == [str(old)], named
    found = (await api.client.post(f"{V2}/tasks/search/", json={"criteria": {}})).json()
    assert [report["task_id"] for report in found] == [str(old), str(waiting)]
    assert (await api.client.get(f"{V2}/tasks/{old}/")).status_code == 200


async def test_what_ended_within_the_time_is_listed_in_order(api: Site) -> None:
    made = [await add(api, is_ended=is_ended) for is_ended in (True, False, True)]
    api.service.listed_s = int(AGO_S)
    assert await ids(api) == [str(task_id) for task_id in made]


async def test_a_list_of_nothing_is_empty(api: Site) -> None:
    assert await ids(api) == []
    await add(api, is_ended=True)
    assert await ids(api) == []
