"""Random lists of tasks in the v3 dialect, compared with a calculation in plain Python.

`--list-requests 2500` makes the full number of requests; `--list-seed` repeats a run, whose seed is printed.
"""

from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.lists.model import Answer, answer, shape
from tests.support.lists.requests import Request, Requests
from tests.support.lists.world import World, world
from tests.support.site import V3, Site

pytestmark = pytest.mark.timeout(1800)  # for the whole number
FIELD_CONTROLS = ("fields", "exclude_fields", "minimal")


async def test_random_requests_find_what_a_plain_search_would(api: Site, pytestconfig: pytest.Config) -> None:
    seed, count = pytestconfig.getoption("list_seed"), pytestconfig.getoption("list_requests")
    print(f"{count} requests, to be repeated by --list-requests {count} --list-seed {seed}")
    tasks = world(seed)
    await tasks.write(api)
    requests = Requests(tasks, seed)
    wrong = []
    for _ in range(count):
        request = requests.one()
        got = await api.client.get(f"{V3}/tasks/", params=list(request.query))
        expected = answer(tasks, request)
        problem = _problem(tasks, request, expected, got.status_code, got.json())
        if problem:
            wrong.append((problem, request.query, got.json() if got.status_code != 200 else ""))
    for each in wrong:
        print(each)
    assert not wrong, f"{len(wrong)} of {count} requests differ (--list-seed {seed}): {wrong[0]}"


async def test_the_pages_of_a_list_are_the_whole_list(api: Site, pytestconfig: pytest.Config) -> None:
    """No task is skipped or repeated, however many are equal in the order, forwards by `next` and back by `previous`."""
    seed, count = pytestconfig.getoption("list_seed"), max(10, pytestconfig.getoption("list_requests") // 25)
    print(f"{count} lists, to be repeated by --list-seed {seed}")
    tasks, chance = world(seed), Random(seed)
    await tasks.write(api)
    requests = Requests(tasks, seed + 1)
    lists = 0
    while lists < count:
        request = requests.one()
        expected = answer(tasks, request)
        query = [(name, value) for name, value in request.query if name not in ("limit", "offset", *FIELD_CONTROLS)]
        if expected.status != 200:
            continue
        lists += 1
        size = chance.choice((1, 2, 3, 10, 40)) if len(expected.found) < 40 else chance.choice((7, 10, 40))
        url: str | None = f"{V3}/tasks/?{urlencode([*query, ('limit', size)])}"
        seen: list[list[str]] = []
        last = ""
        while url is not None:
            body = (await api.client.get(url)).json()
            assert body["count"] == len(expected.found), query
            seen.append([task["pulp_href"] for task in body["results"]])
            last, url = url, body["next"]
        hrefs = [shape(tasks, task)["pulp_href"] for task in expected.found]
        assert [href for page in seen for href in page] == hrefs, (query, size, f"--list-seed {seed}")
        back = []
        while last:
            body = (await api.client.get(last)).json()
            back.append([task["pulp_href"] for task in body["results"]])
            last = body["previous"] or ""
        assert back == seen[::-1], (query, size, f"--list-seed {seed}")


def _problem(tasks: World, request: Request, expected: Answer, status: int, body: Any) -> str:
    """How an answer differs from the expected one; empty if it does not."""
    if status != expected.status:
        return f"status {status}, expected {expected.status}: {expected.errors or expected.refusals}"
    if status == 400:
        allowed = [expected.errors] if expected.errors else [*expected.refusals]
        return "" if body in allowed else f"expected one of {allowed}"
    if body["count"] != len(expected.found):
        return f"count {body['count']}, expected {len(expected.found)}"
    wanted = [
        {key: value for key, value in shape(tasks, task).items() if key in expected.fields} for task in expected.page
    ]
    shown = [{key: value for key, value in task.items() if key in expected.fields} for task in body["results"]]
    if shown != wanted:
        differing = [(one, other) for one, other in zip(shown, wanted, strict=False) if one != other]
        return f"{len(shown)} results, expected {len(wanted)}: {differing[:1]}"
    return ""
