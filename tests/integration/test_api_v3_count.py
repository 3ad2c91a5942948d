"""The count in lists of the Pulp 3 dialect."""

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pulp_events.events import Resource
from pulp_projections.reading import pages

from tests.support.events import cancel_requested
from tests.support.site import V3, Site

ZOO, BAR = Resource("repository", "zoo"), Resource("repository", "bar")
ON_ZOO = {"exclusive_resources": "repository:zoo"}


@pytest.fixture
async def many(api: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Five tasks on one repository and two on another, where more than three are many."""
    monkeypatch.setattr(pages, "EXACT_UP_TO", 3)
    for resource, times in ((ZOO, 5), (BAR, 2)):
        for _ in range(times):
            await api.task(resources=(resource,))
    return api


async def listed(api: Site, **params: Any) -> httpx.Response:
    answer = await api.client.get(f"{V3}/tasks/", params=params)
    assert answer.status_code == 200, answer.text
    return answer


async def test_what_has_counters_is_exact_however_many_there_are(many: Site) -> None:
    publish = await many.task("publish")
    await many.add(cancel_requested(publish), many.partition_of(publish))
    for params, count in (
        ({}, 8),
        ({"state": "waiting"}, 7),
        ({"state": "canceling"}, 1),
        ({"state__ne": "waiting"}, 1),
        ({"name": "sync"}, 7),
        ({"name__contains": "s"}, 8),
        ({"name__in": "publish,nothing"}, 1),
        ({"state": "waiting", "name": "publish"}, 0),
        ({"q": "state=waiting OR name=publish"}, 8),
        ({"q": "NOT name=sync"}, 1),
    ):
        answer = await listed(many, **params, limit=1)
        assert (answer.json()["count"], "pulp-count" in answer.headers) == (count, False), params


async def test_few_matches_are_counted_one_by_one(many: Site) -> None:
    answer = await listed(many, exclusive_resources="repository:bar", limit=1)
    assert (answer.json()["count"], "pulp-count" in answer.headers) == (2, False)
    nothing = await listed(many, exclusive_resources="repository:none")
    assert (nothing.json()["count"], "pulp-count" in nothing.headers) == (0, False)


async def test_of_many_matches_the_count_is_an_estimate_that_says_so(many: Site) -> None:
    for _ in range(2):  # the second time the API knows that there are many
        answer = await listed(many, **ON_ZOO, limit=2)
        assert answer.headers["pulp-count"] == "estimate"
        assert answer.json()["count"] > 3
        assert len(answer.json()["results"]) == 2


async def test_the_pages_of_an_estimate_lead_to_all_and_the_last_one_knows(many: Site) -> None:
    page = (await listed(many, **ON_ZOO, limit=2)).json()
    found = page["results"]
    while page["next"]:
        answer = await many.client.get("?".join(urlsplit(page["next"])[2:4]))
        page = answer.json()
        found += page["results"]
    assert len({task["pulp_href"] for task in found}) == len(found) == 5
    assert (page["count"], "pulp-count" in answer.headers) == (5, False)


async def test_a_page_behind_the_end_has_the_count_all_the_same(many: Site) -> None:
    answer = await listed(many, name="sync", offset=100)
    assert (answer.json()["count"], answer.json()["results"]) == (7, [])
    assert answer.headers["pulp-position"]
