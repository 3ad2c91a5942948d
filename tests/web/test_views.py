"""Every view: its contents, its actions, and its accessibility in both themes and at three widths."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from playwright.sync_api import Page, expect
from pulp_events.codec import key_of
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.support.web_page import MIDDLE, NARROW, V3, WIDE, Site, Visitor

Visit = Callable[..., Visitor]
AXE: Final = Path(__file__).parents[2] / "services" / "web" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS: Final = ("tasks", "queues", "workers", "log", "numbers", "trust", "submit?operation=copy", "log?view=dead")
HEADINGS: Final = {
    "tasks": "Tasks",
    "queues": "Queues and resources",
    "workers": "Workers",
    "log": "Log",
    "numbers": "Numbers",
    "trust": "Trust",
    "submit": "Submit a task",
}


def violations(page: Page) -> list[str]:
    """The faults that axe finds on the page, in brief."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {json.dumps([node['html'][:120] for node in each['nodes'][:3]])}" for each in found]


def held_back(site: Site, operation: str = "copy", **more: Any) -> str:
    """A task that runs until it is cancelled."""
    arguments = {"items": 8, "stop_at": 4} if operation == "copy" else {}
    task_id = site.submit(operation, {"repo_id": f"r-{uuid4().hex[:8]}", **arguments}, **more)
    site.until(task_id, "progress")
    return task_id


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible(visit: Visit, site: Site, scheme: str) -> None:
    task_id = held_back(site)
    visitor = visit(scheme=scheme)
    page = visitor.log_in()
    found: dict[str, list[str]] = {}
    for view in (*VIEWS, f"tasks/{task_id}"):
        visitor.open(f"/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("Reading", exact=False)).to_have_count(0)
        for size in (WIDE, NARROW):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            if bad := violations(page):
                found[f"{view} at {size[0]}"] = bad
    site.cancel(task_id)
    assert found == {}


@pytest.mark.parametrize("size", [WIDE, MIDDLE, NARROW])
def test_no_view_is_wider_than_the_screen(visit: Visit, site: Site, size: tuple[int, int]) -> None:
    task_id = site.submit("copy", {"repo_id": f"wide-{uuid4()}", "items": 3, "fails": True})
    site.until(task_id, "finished")
    visitor = visit(size=size)
    page = visitor.log_in()
    for view in (*VIEWS, f"tasks/{task_id}"):
        visitor.open(f"/{view}")
        heading = HEADINGS.get(re.split(r"[?]", view)[0], "copy")
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, view


def test_a_task_that_cannot_be_canceled_is_refused_in_the_words_of_the_guide(visit: Visit, site: Site) -> None:
    go = site.stack.folder.path / "storage" / "go"
    go.unlink(missing_ok=True)
    task_id = held_back(site, "stubborn")
    page = visit().log_in(path=f"/tasks/{task_id}")
    page.get_by_role("button", name="Cancel …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("not today")
    dialog.get_by_role("button", name="Cancel", exact=True).click()
    expect(dialog).to_contain_text(f"Cancel Not Implemented for Task: {task_id}")
    go.touch()
    site.until(task_id, "finished")
    dialog.get_by_role("button", name="Close", exact=True).last.click()
    expect(page.locator(".task-title")).to_contain_text("completed")
    go.unlink()


def test_the_slider_shows_a_task_as_it_was(visit: Visit, site: Site) -> None:
    task_id = site.submit("copy", {"repo_id": f"past-{uuid4()}", "items": 5})
    site.until(task_id, "finished")
    page = visit().log_in(path=f"/tasks/{task_id}")
    title = page.locator(".task-title")
    expect(title).to_contain_text("completed")
    events = site.client.get(f"{V3}/tasks/{task_id}/history/").json()["results"]
    expect(page.locator(".history tbody tr")).to_have_count(len(events))  # each once, also when the stream opens
    page.get_by_label("Show the task as it was").press("Home")
    expect(title).to_contain_text("waiting")
    expect(title).to_contain_text("as it was")
    assert "at=" in page.url
    page.get_by_role("button", name="What has changed since").click()
    expect(page.get_by_role("row", name="state waiting completed")).to_be_visible()
    started = f"{events[1]['partition']}:{events[1]['offset']}"
    page.get_by_label("Compare with").select_option(started)
    expect(page.get_by_role("row", name="state waiting running")).to_be_visible()
    page.reload()
    expect(title).to_contain_text("waiting")
    page.get_by_role("button", name="Back to now").click()
    expect(title).to_contain_text("completed")


def test_a_task_is_submitted_by_its_form_and_run_again_with_changes(visit: Visit, site: Site) -> None:
    page = visit().log_in("sam", path="/submit")
    name = f"form-{uuid4().hex[:8]}"
    page.get_by_label("Operation").select_option("copy")
    page.get_by_label("repo_id").fill(name)
    page.get_by_label("items").fill("0")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("items")
    page.get_by_label("items").fill("3")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.locator(".task-title")).to_contain_text("completed")
    first = page.url.rpartition("/")[2]
    assert site.task(first)["arguments"] == {"repo_id": name, "items": 3}
    page.get_by_role("link", name="Run again with changes").click()
    page.get_by_label("items").fill("4")
    page.get_by_role("button", name="Run again", exact=True).click()
    expect(page.locator(".task-title")).to_contain_text("completed")
    again = site.task(page.url.rpartition("/")[2])
    assert (again["arguments"]["items"], again["rerun_of"].split("/")[-2]) == (4, first)


def test_all_that_match_are_canceled_after_a_dry_run(visit: Visit, site: Site) -> None:
    tag = f"bulk-{uuid4().hex[:8]}"
    ids = [site.submit("copy", {"repo_id": f"{tag}-{number}"}, queue="nobody", tags=[tag]) for number in range(12)]
    site.until(ids[-1], "accepted")
    page = visit().log_in(path=f"/tasks?q=tags={tag}")
    expect(page.locator(".row:not(.row-head)")).to_have_count(12)
    page.locator("summary", has_text="All that match").click()
    page.get_by_role("button", name="Cancel all that match").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("12 tasks will be asked to stop.")
    dialog.get_by_role("button", name="Dry run").click()
    expect(dialog.get_by_role("listitem")).to_have_count(12)
    assert {site.task(each)["state"] for each in ids} == {"waiting"}
    dialog.get_by_label("Reason").fill("spring cleaning")
    dialog.get_by_role("button", name="Cancel 12 tasks").click()
    expect(dialog).to_contain_text("12 canceled.")
    assert {site.task(each)["state"] for each in ids} == {"canceled"}


def test_the_keyboard_is_enough(visit: Visit, site: Site) -> None:
    tag = f"keys-{uuid4().hex[:8]}"
    ids = [site.submit("copy", {"repo_id": f"{tag}-{number}"}, queue="nobody", tags=[tag]) for number in range(2)]
    site.until(ids[-1], "accepted")
    visitor = visit()
    page = visitor.log_in()
    expect(page.get_by_role("combobox", name="Search tasks")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type(f"tags={tag}")
    expect(page.locator(".row:not(.row-head)")).to_have_count(2)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(visitor.row(ids[0])).to_have_attribute("data-current", "true")
    page.keyboard.press("c")
    expect(page.get_by_role("dialog")).to_contain_text("One task will be asked to stop.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("1 canceled.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("w")
    expect(page.get_by_role("heading", level=1)).to_have_text("Workers")
    site.cancel(ids[1])


def test_numbers_are_those_of_the_tasks_that_ended(visit: Visit, site: Site) -> None:
    task_id = site.submit("glance")
    task = site.until(task_id, "finished")
    page = visit().log_in(path="/numbers")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="glance", exact=True))
    cells = row.get_by_role("cell")
    expect(cells.nth(0)).to_have_text("1")
    expect(cells.nth(1)).to_have_text("0")
    times = [datetime.fromisoformat(task[name]) for name in ("pulp_created", "started_at", "finished_at")]
    for cell, (begin, end) in enumerate(pairwise(times), 2):
        shown = [seconds(each) for each in cells.nth(cell).inner_text().split("/")]
        took = (end - begin).total_seconds()
        assert shown == [pytest.approx(took, abs=0.1 if took >= 1 else 0.002)] * 2, task  # p50 and p95 of one task


def seconds(shown: str) -> float:
    """A duration on the page, in seconds."""
    number, unit = shown.split()
    return float(number) * {"ms": 0.001, "s": 1}[unit]


def test_trust_shows_the_active_generation_and_its_lag(visit: Visit, site: Site) -> None:
    task_id = site.submit("copy", {"repo_id": f"lag-{uuid4().hex[:8]}", "items": 2})
    site.until(task_id, "finished")
    page = visit().log_in(path="/trust")
    with psycopg.connect(site.database) as connection:
        [(generation,)] = connection.execute("select generation from active_generation").fetchall()
        positions: dict[int, int] = dict(connection.execute("select partition, next_offset from positions").fetchall())
    generations = page.get_by_role("region", name="Generations")
    active = generations.get_by_role("row").filter(has=page.get_by_role("cell", name="active", exact=True))
    expect(active.get_by_role("rowheader")).to_have_text(str(generation))
    expect(page.get_by_text("0 events", exact=True)).to_be_visible()
    lags = page.get_by_role("region", name="Lag by partition")
    expect(lags.get_by_role("row")).to_have_count(len(positions) + 1)
    for partition, next_offset in positions.items():
        row = lags.get_by_role("row").filter(has=page.get_by_role("rowheader", name=str(partition), exact=True))
        expect(row.get_by_role("cell")).to_have_text([f"{next_offset:,}", f"{next_offset:,}", "0"])


def test_workers_show_the_task_in_a_busy_slot(visit: Visit, site: Site) -> None:
    task_id = held_back(site)
    page = visit().log_in(path="/workers")
    slot = page.locator(".slot[data-busy=true]").filter(has_text=task_id[-12:])
    expect(slot).to_have_count(1)
    expect(page.locator(".card").filter(has=slot)).to_contain_text(re.compile(r"Slots: [1-9]\d* of \d+ busy"))
    slot.get_by_role("link").click()
    expect(page.locator(".task-title")).to_contain_text("running")
    assert page.url.endswith(f"/tasks/{task_id}")
    site.cancel(task_id)
    visitor = visit()
    page = visitor.log_in(path="/workers")
    expect(page.get_by_role("heading", level=1)).to_have_text("Workers")
    expect(page.locator(".slot").first).to_be_visible()
    expect(page.locator(".slot").filter(has_text=task_id[-12:])).to_have_count(0)


def test_a_viewer_sees_no_button_that_would_be_refused(visit: Visit, site: Site) -> None:
    task_id = held_back(site)
    page = visit().log_in("vera", path=f"/tasks/{task_id}")
    expect(page.locator(".task-title")).to_contain_text("running")
    for name in ("Cancel …", "Run again …", "Run again with changes …"):
        expect(page.get_by_text(name, exact=True)).to_have_count(0)
    page.get_by_role("link", name="Tasks", exact=True).first.click()
    expect(page.get_by_role("table", name="Tasks")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)
    expect(page.get_by_role("link", name="Submit")).to_have_count(0)
    site.cancel(task_id)


def spoilt(site: Site) -> tuple[str, str]:
    """A task that a record parks, and the record's place, once projected."""
    task_id = site.submit("copy", {"repo_id": f"spoilt-{uuid4().hex[:8]}"}, queue="nobody")
    site.until(task_id, "accepted")
    [first] = site.client.get(f"{V3}/tasks/{task_id}/history/").json()["results"]
    bad = RawRecord(key_of(UUID(task_id)), b"{", (), first["partition"])
    producer = raw_producer.make(site.stack.backend.kafka)
    [position] = raw_producer.append(producer, "pulp.tasks.events", [bad])
    told = {"Pulp-Min-Position": str(position)}
    site.client.get(f"{V3}/dead-letters/", headers=told).raise_for_status()
    return task_id, str(position)


def test_a_dead_letter_is_retried_and_discarded_by_keys(visit: Visit, site: Site) -> None:
    task_id, position = spoilt(site)
    visitor = visit()
    page = visitor.log_in("olga", path=f"/tasks/{task_id}")
    card = page.locator(".card", has_text="records of this task that cannot be projected")
    expect(card).to_contain_text(position)
    expect(card).to_contain_text("parks")
    if bad := violations(page):
        raise AssertionError(bad)
    card.get_by_role("button", name=f"Retry {position}").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("discard it, and append what it should have been as a new event")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(card.get_by_role("button", name=f"Retry {position}")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Discard", exact=True)).to_be_disabled()  # as long as no reason is given
    if bad := violations(page):
        raise AssertionError(bad)
    page.keyboard.type("by a broken script")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(card).to_contain_text("discarded")
    expect(card.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("row", name="unparked")).to_contain_text("by a broken script")
    site.cancel(task_id)


def test_dead_letters_fit_a_narrow_window(visit: Visit, site: Site) -> None:
    task_id, position = spoilt(site)
    page = visit(size=NARROW).log_in("olga", path="/log?view=dead")
    row = page.get_by_role("row", name=position)
    expect(row).to_contain_text("parks")
    for name in ("Retry", "Discard"):
        box = row.get_by_role("button", name=f"{name} {position}").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= NARROW[0]
    assert page.get_by_role("region", name="Dead letters").evaluate("it => it.scrollWidth <= it.clientWidth")
    if bad := violations(page):
        raise AssertionError(bad)
    site.client.post(f"{V3}/dead-letters/{position}/discard/").raise_for_status()
    site.cancel(task_id)


def test_a_viewer_sees_dead_letters_and_no_button_for_them(visit: Visit, site: Site) -> None:
    task_id, position = spoilt(site)
    page = visit().log_in("vera", path="/log?view=dead")
    row = page.locator("tr", has=page.get_by_text(position, exact=True))
    expect(row).to_contain_text("parks")
    expect(row.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("columnheader", name="To go on")).to_have_count(0)
    site.client.post(f"{V3}/dead-letters/{position}/discard/").raise_for_status()
    site.cancel(task_id)


def test_it_says_why_a_task_waits_and_who_is_before_it(visit: Visit, site: Site) -> None:
    name = f"line-{uuid4().hex[:8]}"
    first = site.submit("copy", {"repo_id": name, "items": 8, "stop_at": 4})
    site.until(first, "progress")
    second = site.submit("copy", {"repo_id": name})
    page = visit().log_in(path=f"/tasks/{second}")
    card = page.locator(".card", has_text="Why it waits")
    expect(card).to_contain_text(first[-12:])
    card.get_by_role("link", name=f"repository:{name}").first.click()
    expect(page.locator(".card", has_text="Held by")).to_contain_text(first[-12:])
    expect(page.locator(".card", has_text="In line (1)")).to_contain_text(second[-12:])
    for each in (first, second):
        expect(page.locator(".card", has_text="Its last tasks")).to_contain_text(each[-12:])
    site.cancel(first)
    expect(page.locator(".card", has_text="Held by")).to_contain_text("Nobody holds it.")


def test_the_log_shows_events_as_they_come(visit: Visit, site: Site) -> None:
    page = visit().log_in(path="/log?since=now&type=accepted")
    expect(page.get_by_role("heading", name="Log")).to_be_visible()
    expect(page.locator(".connection")).to_have_text("Live")
    task_id = ""
    for _ in range(3):  # the first ones may come before the stream is open
        task_id = site.submit("copy", {"repo_id": f"log-{uuid4().hex[:8]}", "items": 1})
        site.until(task_id, "finished")
    row = page.get_by_role("row", name=task_id[-12:])
    expect(row).to_contain_text("accepted")
    expect(row).to_contain_text("user:admin")


def test_the_page_goes_on_after_a_restart_of_the_api(visit: Visit, site: Site) -> None:
    visitor = visit()
    page = visitor.log_in()
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    site.stack.kill("api")
    expect(page.locator(".connection")).to_have_attribute("data-state", "lost")
    site.stack.start("api")
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    task_id = site.submit("copy", {"repo_id": f"after-{uuid4()}", "items": 2})
    expect(visitor.shown_row(task_id)).to_contain_text("completed")
    visitor.complaints.clear()  # the report of the broken stream
