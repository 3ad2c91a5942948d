"""A stack whose API serves the live page, and a browser that looks at it."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import psycopg
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright
from pulp_accounts.users import Role, add_user
from pulp_deploy.stack import Stack, StackOptions

from benchmarks.filling import fill

ROOT: Final = Path(__file__).parents[2]
PASSWORD: Final = "correct horse"
V3: Final = "/pulp/api/v3"
ROLES: Final = {"vera": Role.VIEWER, "olga": Role.OPERATOR, "sam": Role.SUBMITTER}
PATIENCE_MS: Final = 30_000
CHROMIUM_ADVICE: Final = "install chromium, or name one in CHROME_BIN"
WIDE, MIDDLE, NARROW = (1400, 1000), (900, 800), (400, 800)


def chromium() -> str | None:
    """The Chromium of this machine, or the one that CHROME_BIN names."""
    return os.environ.get("CHROME_BIN") or shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Site:
    """A stack, and its API as the administrator."""

    stack: Stack
    client: httpx.Client

    @property
    def url(self) -> str:
        """The URL of the API."""
        return self.stack.url

    @property
    def database(self) -> str:
        """The connection string of the read model."""
        return self.stack.service_environment()["PULP_POSTGRES"]

    @property
    def password(self) -> str:
        """The password of the administrator."""
        [found] = re.findall(r'^password = "(.*)"$', self.stack.client_file.read_text(), re.MULTILINE)
        return str(found)

    def submit(self, operation: str, arguments: dict[str, Any] | None = None, **more: Any) -> str:
        """The new task's id."""
        body = {"operation": operation, "arguments": arguments or {}, **more}
        answer = self.client.post(f"{V3}/tasks/", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task"].split("/")[-2])

    def task(self, task_id: str) -> dict[str, Any]:
        """The task now."""
        found: dict[str, Any] = self.client.get(f"{V3}/tasks/{task_id}/").raise_for_status().json()
        return found

    def until(self, task_id: str, *events: str) -> dict[str, Any]:
        """The task once one of these events was projected."""
        params = {"task": task_id, "since": "2000-01-01T00:00:00Z"}
        with self.client.stream("GET", f"{V3}/events/", params=params) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: ") and line.split(".")[-2] in events:
                    return self.task(task_id)
        raise AssertionError("the stream has ended")

    def cancel(self, task_id: str) -> None:
        """Cancel a task."""
        self.client.patch(f"{V3}/tasks/{task_id}/", json={"state": "canceled"}).raise_for_status()


@contextmanager
def web_site() -> Iterator[Site]:
    """A stack with users of every role, and with operations to see."""
    settings = {
        "PULP_QUEUES": "nobody",
        "PULP_WORKER_MODULES": "tests.support.web_operations",
        "PYTHONPATH": str(ROOT),
        "PULP_API_STREAMS_PER_ADDRESS": "100",
    }
    with Stack(StackOptions.throwaway(settings=settings)) as stack:
        asyncio.run(_add_users(stack.service_environment()["PULP_POSTGRES"]))
        found = re.findall(r'^(?:username|password) = "(.*)"$', stack.client_file.read_text(), re.MULTILINE)
        with httpx.Client(base_url=stack.url, auth=(found[0], found[1]), timeout=60, trust_env=False) as client:
            yield Site(stack, client)


async def _add_users(postgres: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        for name, role in ROLES.items():
            await add_user(connection, name, PASSWORD, role)


def filled(site: Site, tasks: int) -> None:
    """Add this many tasks that ended long ago. Not in a thread that drives a browser, whose event loop is occupied."""
    asyncio.run(fill(site.database, tasks))


@contextmanager
def running_browser(executable: str) -> Iterator[Browser]:
    """Chromium without a window."""
    expect.set_options(timeout=PATIENCE_MS)  # a machine that builds meanwhile is slow, not wrong
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody who looks at the page, and all that the browser noticed meanwhile."""

    site: Site
    context: BrowserContext
    page: Page
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Errors of the page's scripts, and refusals by its policy."""

    def watch(self) -> None:
        """Begin to take note."""
        self.page.on("request", lambda request: self.requests.append(request))  # it takes only functions
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        # An answer that is an error is written there too; the page tells its visitor.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    @property
    def other_hosts(self) -> set[str]:
        """Other hosts than the server that received a request."""
        own = urlsplit(self.site.url).netloc
        return {urlsplit(each.url).netloc for each in self.requests} - {own, ""}

    def open(self, path: str = "/") -> Page:
        """Open a view."""
        self.page.goto(f"{self.site.url}/ui{path}")
        return self.page

    def log_in(self, name: str = "admin", password: str | None = None, path: str = "/") -> Page:
        """Open a view, and log in."""
        page = self.open(path)
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password").fill(password or (self.site.password if name == "admin" else PASSWORD))
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        return page

    def row(self, task_id: str) -> Any:
        """The row of a task in the list."""
        return self.page.locator(f'.row[data-id="{task_id}"]')

    def shown_row(self, task_id: str) -> Any:
        """The row of a new task: it is there, or behind "12 new" as long as nobody asks for those."""
        new, row = self.page.get_by_role("button", name=re.compile(r"\d+ new")), self.row(task_id)
        while not row.count():
            expect(new.or_(row).first).to_be_visible()
            if new.count():
                new.click()
        return row


def visitor(
    browser: Browser, site: Site, *, size: Sequence[int] = WIDE, scheme: str = "light", **options: Any
) -> Visitor:
    """A visitor with a browser profile of their own."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
        **options,
    )
    made = Visitor(site, context, context.new_page())
    made.watch()
    return made
