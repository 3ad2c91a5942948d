"""What the page requests and holds with 100,000 tasks, counted and compared with a list of ten."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.support.web_page import Site, Visitor, filled

Visit = Callable[..., Visitor]
MANY: Final = 100_000
BUDGET_BYTES: Final = 250 * 1024


@pytest.fixture(scope="module", autouse=True)
def _filled(site: Site) -> None:
    """Many tasks that ended long ago."""
    with ThreadPoolExecutor(1) as thread:  # the driver of the browser occupies this one's event loop
        thread.submit(filled, site, MANY).result()


def elements(page: Page) -> int:
    """How many elements the page has."""
    return int(page.evaluate("document.querySelectorAll('*').length"))


def calls(visitor: Visitor) -> list[str]:
    """The requested paths below the API's root, without the stream."""
    paths = [urlsplit(each.url).path for each in visitor.requests]
    return [path.removeprefix("/pulp/api/v3/") for path in paths if path.startswith("/pulp/api/v3/")]


def settled(page: Page) -> None:
    """Wait until the list is there and follows the events."""
    expect(page.locator(".row:not(.row-head)").first).to_be_visible()
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    expect(page.locator(".chip-count").first).not_to_have_text("…")


def test_the_first_view_costs_as_much_as_that_of_ten_tasks(visit: Visit, site: Site) -> None:
    tag = f"ten-{uuid4().hex[:8]}"
    ids = [site.submit("copy", {"repo_id": f"{tag}-{number}", "items": 1}, tags=[tag]) for number in range(10)]
    for task_id in ids:
        site.until(task_id, "finished")
    few, many = visit(), visit()
    few.log_in(path=f"/tasks?q=tags={tag}")
    settled(few.page)
    expect(few.page.locator(".row:not(.row-head)")).to_have_count(10)
    many.log_in(path="/tasks")
    settled(many.page)
    of_all = many.page.locator(".chip-count").first.inner_text()
    assert int(of_all.replace(",", "")) > MANY
    first = ("tasks/", "task-counts/", "operations/", "events/")
    assert [calls(many).count(path) for path in first] == pytest.approx(
        [calls(few).count(path) for path in first], abs=1
    )
    rows = many.page.locator(".row:not(.row-head)").count()
    assert rows <= 100
    a_row = (elements(many.page) - elements(few.page)) / (rows - 10)
    assert a_row <= 40


def test_all_that_is_loaded_fits_the_budget(visit: Visit, site: Site) -> None:
    visitor = visit()
    sizes: list[int] = []
    visitor.page.on("requestfinished", lambda request: sizes.append(int(request.sizes()["responseBodySize"])))
    page = visitor.open("/tasks")
    expect(page.get_by_label("User name")).to_be_visible()
    assert 0 < sum(sizes) <= BUDGET_BYTES


def test_a_long_list_has_as_many_elements_as_a_short_one(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.log_in(path="/tasks")
    settled(page)
    first, pages = elements(page), calls(visitor).count("tasks/")
    page.wait_for_function(  # a list that is reloaded meanwhile is short again
        "rows => { const all = document.documentElement; scrollTo(0, all.scrollHeight);"
        " return all.scrollHeight >= rows * 40; }",
        arg=1600,
    )
    rows = page.locator(".row:not(.row-head)")
    expect(rows.first).to_be_attached()
    assert rows.count() <= 200
    assert elements(page) <= 4 * first  # of 16 times as many tasks as at first
    assert calls(visitor).count("tasks/") - pages <= 25
    # The keyboard continues where it was, however far away that is by now.
    page.keyboard.press("j")
    expect(page.locator('.row[data-current="true"]')).to_be_in_viewport()


def test_many_changes_are_read_together(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.log_in(path="/tasks")
    settled(page)
    before = len([each for each in visitor.requests if "pulp_id__in" in each.url])
    ids = [site.submit("copy", {"repo_id": f"burst-{uuid4()}", "items": 2}) for _ in range(150)]
    visitor.shown_row(ids[-1])
    for task_id in (ids[0], ids[-1]):
        site.until(task_id, "finished")
    expect(visitor.shown_row(ids[-1])).to_contain_text("completed")
    reads = [each for each in visitor.requests if "pulp_id__in" in each.url][before:]
    asked = [len(parse_qs(urlsplit(each.url).query)["pulp_id__in"][0].split(",")) for each in reads]
    assert max(asked) > 1
    assert len(reads) <= len(ids)  # each has five events or more
