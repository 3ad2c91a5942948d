"""`page`: the live page in Chromium, with many tasks and many changes."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Final

from playwright.sync_api import Page, expect

from benchmarks.measure import OURS, Measure, Sizes, at_most
from benchmarks.scene import Servers
from tests.support.web_page import CHROMIUM_ADVICE, Site, chromium, filled, running_browser, visitor, web_site

_TASKS: Final = 100_000
_FEW: Final = 10
_SUBMISSIONS_A_SECOND: Final = 50
"""Each task is accepted, started, reports at least once, and ends: four changes."""
_QUIET: Final = "with ten tasks, and nothing happening"
_PAINT: Final = "performance.getEntriesByName('pulp-first-rows')[0].startTime"
_WATCH_ROWS: Final = """
new MutationObserver((_, watcher) => {
  if (document.querySelector('.row:not(.row-head)') === null) return;
  watcher.disconnect();
  requestAnimationFrame(() => setTimeout(() => performance.mark('pulp-first-rows'), 0));
}).observe(document, {childList: true, subtree: true});
"""
_WATCH_FRAMES: Final = """
window.frames = [];
let last = performance.now();
const next = now => { window.frames.push(now - last); last = now; requestAnimationFrame(next); };
requestAnimationFrame(next);
"""


async def page(_: Servers, sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    """From the request to the first rows on the screen; and the longest frame while 200 rows change each second."""
    # The driver of the browser has an event loop of its own.
    return await asyncio.to_thread(_measured, sizes)


def _measured(sizes: Sizes) -> Mapping[str, Mapping[str, float]]:
    executable = chromium()
    if executable is None:
        raise RuntimeError(f"there is no Chromium: {CHROMIUM_ADVICE}")
    with web_site() as site:
        for number in range(_FEW):
            site.until(site.submit("copy", {"repo_id": f"few-{number}", "items": 1}), "finished")
        with running_browser(executable) as browser:
            made = visitor(browser, site)
            made.page.add_init_script(_WATCH_ROWS)
            made.log_in()
            few_ms = _first_rows_ms(made.page, sizes)
            with ThreadPoolExecutor(1) as thread:
                thread.submit(filled, site, sizes.of(_TASKS, 2000)).result()
            many_ms = _first_rows_ms(made.page, sizes)
            quiet_ms = _longest_frame_ms(made.page, sizes.of(5, 1))
            busy_ms = _while_changing(site, made.page, sizes.of(10, 2))
            made.context.close()
    return {
        OURS: {"first rows p50": many_ms, "frame longest": busy_ms},
        _QUIET: {"first rows p50": few_ms, "frame longest": quiet_ms},
    }


def _first_rows_ms(page: Page, sizes: Sizes) -> float:
    taken = []
    for _ in range(sizes.of(7, 2)):
        page.reload()
        page.wait_for_function("() => performance.getEntriesByName('pulp-first-rows').length > 0")
        taken.append(float(page.evaluate(_PAINT)))
    return sorted(taken)[len(taken) // 2]


def _while_changing(site: Site, page: Page, seconds: int) -> float:
    """The longest frame while tasks come, run and end."""
    is_over = Event()

    def submit() -> None:
        number, began_s = 0, time.monotonic()
        while not is_over.wait(max(0.0, began_s + number / _SUBMISSIONS_A_SECOND - time.monotonic())):
            site.submit("copy", {"repo_id": f"busy-{number}", "items": 1})
            number += 1

    with ThreadPoolExecutor(1) as thread:
        submitting = thread.submit(submit)
        try:
            expect(page.get_by_text(" new: show")).to_be_visible()
            page.get_by_text(" new: show").click()
            return _longest_frame_ms(page, seconds)
        finally:
            is_over.set()
            submitting.result()


def _longest_frame_ms(page: Page, seconds: int) -> float:
    page.evaluate(_WATCH_FRAMES)
    page.wait_for_timeout(seconds * 1000)
    return float(page.evaluate("Math.max(...window.frames.slice(2))"))


MEASURES = (
    Measure(
        name="page",
        what="the live page in Chromium with 100,000 tasks; the longest frame while 200 rows change each second",
        unit="ms",
        goal="",
        goals={"first rows p50": at_most(1000), "frame longest": at_most(100)},
        together=page,
        needs_servers=False,
        rounds=1,
    ),
)
