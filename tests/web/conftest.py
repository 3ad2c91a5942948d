"""The live page in a headless Chromium, against a whole stack."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.web_page import CHROMIUM_ADVICE, Site, Visitor, chromium, running_browser, visitor, web_site

MISSING = f"there is no Chromium, so NO VIEW OF THE LIVE PAGE IS TESTED: {CHROMIUM_ADVICE}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Report, where it is seen, that the live page was not tested."""
    if chromium() is None:
        terminalreporter.section("the live page was not tested", sep="!", red=True)
        terminalreporter.line(MISSING)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """One stack for all tests, if there is a browser."""
    if chromium() is None:
        pytest.skip(MISSING)
    with web_site() as made:
        yield made


@pytest.fixture(scope="session")
def browser(site: Site) -> Iterator[Browser]:
    """One Chromium for all tests. After the stack, which cannot start in the event loop that the driver occupies."""
    with running_browser(chromium() or "") as started:
        yield started


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Visitor]]:
    """Creates visitors. At the end, none has sent a request to another host, and no script failed or was refused."""
    made: list[Visitor] = []

    def begin(**options: Any) -> Visitor:
        made.append(visitor(browser, site, **options))
        return made[-1]

    yield begin
    for each in made:
        each.context.close()
    assert [each.other_hosts for each in made if each.other_hosts] == []
    assert [each.complaints for each in made if each.complaints] == []
