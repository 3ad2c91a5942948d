"""Logging in and out, and the list of tasks while things happen."""

import re
from collections.abc import Callable
from uuid import uuid4

from playwright.sync_api import expect

from tests.support.web_page import Site, Visitor

Visit = Callable[..., Visitor]


def test_one_logs_in_and_out(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.open("/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid username/password.")
    visitor.log_in()
    expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("User name")).to_be_visible()
    page.reload()
    expect(page.get_by_label("User name")).to_be_visible()
    assert {cookie["name"] for cookie in visitor.context.cookies()} & {"sessionid"} == set()


def test_a_task_appears_and_its_row_changes_in_place(visit: Visit, site: Site) -> None:
    first = site.submit("copy", {"repo_id": f"seen-{uuid4()}", "items": 4})
    site.until(first, "finished")
    visitor = visit()
    page = visitor.log_in()
    expect(visitor.row(first)).to_contain_text("completed")
    second = site.submit("copy", {"repo_id": f"live-{uuid4()}", "items": 8, "stop_at": 4})
    button = page.get_by_role("button", name=re.compile(r"\d+ new"))
    button.click()
    expect(visitor.row(second)).to_contain_text("running")
    expect(visitor.row(second).get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    site.cancel(second)
    expect(visitor.row(second)).to_contain_text("canceled")
