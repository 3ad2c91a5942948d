"""Takes pictures of every view of the live page: `./dev run python -m tests.web.pictures FOLDER` (some minutes).

In both themes and at three widths, for an administrator and a viewer, with few tasks and with 100,000.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect

from tests.support.web_page import (
    CHROMIUM_ADVICE,
    MIDDLE,
    NARROW,
    WIDE,
    Site,
    chromium,
    filled,
    running_browser,
    visitor,
    web_site,
)

SIZES: Final = {"wide": WIDE, "middle": MIDDLE, "narrow": NARROW}
MANY: Final = 100_000


def scene(site: Site) -> dict[str, str]:
    """Ten tasks in every state, with a word for each."""
    made = {
        "completed": site.submit("copy", {"repo_id": "zoo", "items": 40}, tags=["nightly"]),
        "failed": site.submit("copy", {"repo_id": "bear", "items": 12, "fails": True}),
        "other": site.submit("copy", {"repo_id": "lion", "items": 3, "mode": "newest"}),
    }
    for task_id in made.values():
        site.until(task_id, "finished")
    made["running"] = site.submit("copy", {"repo_id": "zoo", "items": 200, "stop_at": 130}, tags=["nightly"])
    site.until(made["running"], "progress")
    made["waiting"] = site.submit("copy", {"repo_id": "zoo", "items": 5})
    made["next"] = site.submit("copy", {"repo_id": "zoo", "items": 7}, priority=5)
    made["unserved"] = site.submit("copy", {"repo_id": "emu", "items": 3}, queue="nobody")
    made["cancelled"] = site.submit("copy", {"repo_id": "yak", "items": 9, "stop_at": 3})
    site.until(made["cancelled"], "progress")
    site.cancel(made["cancelled"])
    site.until(made["cancelled"], "finished")
    made["stubborn"] = site.submit("stubborn", {"repo_id": "owl"})
    site.until(made["stubborn"], "progress")
    return made


def views(tasks: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A name and an address for each picture."""
    yield "tasks", "/tasks"
    yield "none", "/tasks?q=name=nothing"
    for word in ("running", "waiting", "failed", "completed", "cancelled"):
        yield f"task-{word}", f"/tasks/{tasks[word]}"
    yield "queues", "/queues"
    yield "resource", "/queues?resource=repository%3Azoo"
    for name in ("workers", "log", "numbers", "trust"):
        yield name, f"/{name}"
    yield "dead-letters", "/log?view=dead"
    yield "submit", "/submit?operation=copy"
    yield "rerun", f"/submit?rerun={tasks['failed']}"


def settle(page: Page) -> None:
    """Wait until nothing more is being read."""
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Reading", exact=False)).to_have_count(0)
    page.wait_for_timeout(300)  # plots are drawn in the next frames


def take(browser: Browser, site: Site, folder: Path, tasks: dict[str, str], names: set[str]) -> None:
    """Take all pictures for these tasks."""
    for scheme in ("light", "dark"):
        made = visitor(browser, site, scheme=scheme)
        page = made.open("/")
        expect(page.get_by_label("User name")).to_be_visible()
        page.screenshot(path=folder / f"login-{scheme}.png")
        made.log_in()
        for name, path in views(tasks):
            if names and name not in names:
                continue
            made.open(path)
            for word, (width, height) in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                settle(page)
                page.screenshot(path=folder / f"{name}-{word}-{scheme}.png", full_page=name != "tasks")
        actions(page, folder, scheme, tasks)
        made.context.close()


def actions(page: Page, folder: Path, scheme: str, tasks: dict[str, str]) -> None:
    """Take what opens above the views."""
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    page.goto(page.url.partition("/ui/")[0] + "/ui/tasks")
    settle(page)
    page.locator("summary", has_text="All that match").click()
    page.screenshot(path=folder / f"menu-{scheme}.png")
    page.get_by_role("button", name="Cancel all").click()
    page.get_by_role("button", name="Dry run").click()
    page.screenshot(path=folder / f"cancel-all-{scheme}.png")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("na")
    page.screenshot(path=folder / f"search-{scheme}.png")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.screenshot(path=folder / f"keys-{scheme}.png")
    page.goto(page.url.partition("/ui/")[0] + f"/ui/tasks/{tasks['completed']}")
    settle(page)
    page.get_by_label("Show the task as it was").press("Home")
    page.get_by_role("button", name="What has changed since").click()
    settle(page)
    page.screenshot(path=folder / f"as-of-{scheme}.png", full_page=True)


def take_as_viewer(browser: Browser, site: Site, folder: Path, tasks: dict[str, str]) -> None:
    """Take the list and a task, as seen by somebody who may change nothing."""
    made = visitor(browser, site)
    page = made.log_in("vera")
    for name, path in (("tasks", "/tasks"), ("task-running", f"/tasks/{tasks['running']}")):
        made.open(path)
        settle(page)
        page.screenshot(path=folder / f"viewer-{name}.png")
    made.context.close()


def main(folder: Path, names: set[str]) -> None:
    """Take them all."""
    executable = chromium()
    assert executable is not None, f"there is no Chromium: {CHROMIUM_ADVICE}"
    (folder / "few").mkdir(parents=True, exist_ok=True)
    (folder / "many").mkdir(exist_ok=True)
    began_s = time.monotonic()
    with web_site() as site:
        tasks = scene(site)
        with running_browser(executable) as browser:
            take(browser, site, folder / "few", tasks, names)
            take_as_viewer(browser, site, folder / "few", tasks)
            with ThreadPoolExecutor(1) as thread:  # the driver of the browser occupies this one's event loop
                thread.submit(filled, site, MANY).result()
            take(browser, site, folder / "many", tasks, names or {"tasks", "numbers", "queues", "trust"})
    print(f"{len(list(folder.rglob('*.png')))} pictures in {folder}, in {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), set(sys.argv[2:]))
