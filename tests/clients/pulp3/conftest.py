"""A whole stack for the clients of Pulp 3, with tasks in every state."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pulp_deploy.stack import Stack, StackOptions

ROOT = Path(__file__).parents[3]
ENDED = ("completed", "failed", "canceled")


@dataclass(frozen=True, slots=True)
class Server:
    """A stack, and the test's own client."""

    url: str
    name: str
    password: str
    http: httpx.Client
    go: Path
    """The file that ends `unstoppable`."""

    def submit(self, operation: str, **body: Any) -> str:
        """The href of a new task."""
        answer = self.http.post("/pulp/api/v3/tasks/", json={"operation": operation, **body})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task"])

    def read(self, href: str) -> dict[str, Any]:
        """The server's answer."""
        answer = self.http.get(href)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def until(self, href: str, *states: str) -> dict[str, Any]:
        """The task once it is in one of the states."""
        deadline_s = time.monotonic() + 60
        while (task := self.read(href))["state"] not in states:
            assert time.monotonic() < deadline_s, task
            time.sleep(0.05)
        return task


@dataclass(frozen=True, slots=True)
class Tasks:
    """Hrefs of tasks that have ended, and of a group of them."""

    completed: str
    failed: str
    skipped: str
    group: str


@contextmanager
def running_server(more: Mapping[str, str]) -> Iterator[Server]:
    """A stack with these settings in addition to its own."""
    settings = {
        "PULP_QUEUES": "nobody",
        "PULP_WORKER_MODULES": "tests.support.worker_operations",
        "PYTHONPATH": str(ROOT),
        **more,
    }
    with Stack(StackOptions.throwaway(settings=settings)) as stack:
        name, password = re.findall(r'^(?:username|password) = "(.*)"$', stack.client_file.read_text(), re.MULTILINE)
        with httpx.Client(base_url=stack.url, auth=(name, password), timeout=60, trust_env=False) as http:
            yield Server(stack.url, name, password, http, stack.folder.path / "storage" / "go")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running_server({}) as found:
        yield found


@pytest.fixture(scope="session")
def tasks(server: Server) -> Tasks:
    group = str(uuid4())
    completed = server.submit("echo", group_id=group)
    failed = server.submit("misbehave", arguments={"how": "raise"}, group_id=group)
    skipped = server.submit("echo", depends_on=[failed])
    for href in (completed, failed, skipped):
        server.until(href, *ENDED)
    return Tasks(completed, failed, skipped, f"/pulp/api/v3/task-groups/{group}/")
