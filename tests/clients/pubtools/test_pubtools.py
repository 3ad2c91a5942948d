"""The released pubtools-pulplib, a client of Pulp 2.21, against a whole stack.

It waits for the `spawned_tasks` of each 202 by searching for them, and validates each task with its own schema.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulp_deploy.demo.server import DemoServer
from pulp_deploy.stack import Stack, StackOptions

from tests.support.client_environment import python_with
from tests.support.command import environment
from tests.support.yum import small_repository

pytestmark = pytest.mark.timeout(600)
METHODS = Path(__file__).with_name("methods.py")
TASK = {"completed": True, "succeeded": True, "error": None, "details": None}


class PubTools:
    """The client, and the stack that it uses."""

    def __init__(self, python: Path, stack: Stack, home: Path) -> None:
        self.python, self.stack, self.home = python, stack, home
        found = re.findall(r'^(?:username|password) = "(.*)"$', stack.client_file.read_text(), re.MULTILINE)
        self.name, self.password = found

    def __call__(self, method: str, *arguments: object) -> Any:
        """The result of a method of `methods.py`, which calls one of the client."""
        answer = self.answer(method, *arguments)
        assert "result" in answer, answer
        return answer["result"]

    def answer(self, method: str, *arguments: object) -> dict[str, Any]:
        """The result, or the error that the client raises."""
        done = subprocess.run(
            [self.python, METHODS, self.stack.url, self.name, self.password, method, json.dumps(arguments)],
            env=environment(self.home, PUBTOOLS_PULPLIB_RETRY_ATTEMPTS="1"),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def create(self, repo_id: str, **body: Any) -> None:
        """Create a repository, which this client cannot do."""
        url = f"{self.stack.url}/pulp/api/v2/repositories/"
        answer = httpx.post(url, json={"id": repo_id, **body}, auth=(self.name, self.password), trust_env=False)
        assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def pubtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PubTools]:
    python = python_with("pubtools", "pubtools-pulplib==2.45.0", "setuptools<81")
    settings = {"PULP_FETCH_ALLOW": "loopback", "PULP_YUM_RESERVE_BYTES": "0"}
    with Stack(StackOptions.throwaway(settings=settings)) as stack:
        yield PubTools(python, stack, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("feed")
    small_repository(folder, {f"{name}.rpm": name for name in ("ant", "bee", "cat")})
    with DemoServer(folder) as server:
        yield server.url


def test_a_repository_is_found_synced_published_and_deleted(pubtools: PubTools, feed: str) -> None:
    pubtools.create("zoo")
    assert pubtools("repository", "zoo") == {
        "id": "zoo",
        "class": "YumRepository",
        "relative_url": "zoo",
        "distributors": ["yum_distributor"],
    }
    [synced] = pubtools("sync", "zoo", feed)
    assert synced.items() >= {**TASK, "repo_id": "zoo"}.items()
    [again] = pubtools("sync", "zoo", feed)
    assert again.items() >= TASK.items()
    for force in (False, True):
        [published] = pubtools("publish", "zoo", force)
        assert published.items() >= TASK.items()
    assert pubtools("note", "zoo", "8.10") == ["8.10"]
    assert {each["id"] for each in pubtools("tasks", "pulp:action:sync")} >= {synced["id"], again["id"]}
    [deleted] = pubtools("delete", "zoo")
    assert deleted.items() >= TASK.items()
    assert pubtools("repositories", "^zoo$") == []


def test_a_failure_is_told_with_its_reason(pubtools: PubTools) -> None:
    pubtools.create("broken")
    answer = pubtools.answer("sync", "broken", "http://127.0.0.1:1/")
    assert answer.get("error") == "TaskFailedException", answer
    assert re.match(r"Pulp task \[\S{36}\] failed: \S+: ", answer["message"])
    [failed] = [each for each in pubtools("tasks", "pulp:repository:broken") if not each["succeeded"]]
    assert failed["error"] in answer["message"]


def test_a_publish_before_any_sync_and_an_unknown_repository_are_refused(pubtools: PubTools) -> None:
    pubtools.create("empty")
    assert pubtools.answer("publish", "empty", False)["error"] == "HTTPError"
    assert pubtools.answer("repository", "nowhere") == {
        "error": "PulpException",
        "message": "Repository id=nowhere was not found",
    }


def test_repositories_are_searched_and_content_types_listed(pubtools: PubTools) -> None:
    for repo_id in ("a-1", "a-2", "b-1"):
        pubtools.create(repo_id)
    assert pubtools("repositories", "^a-") == ["a-1", "a-2"]
    assert {"rpm", "erratum"} <= set(pubtools("types"))


def test_one_task_with_an_odd_tag_or_a_failure_stops_no_search(pubtools: PubTools) -> None:
    url = f"{pubtools.stack.url}/pulp/api/v3/tasks/"
    body = {"operation": "remove-orphans", "tags": ["nightly"]}
    answer = httpx.post(url, json=body, auth=(pubtools.name, pubtools.password), trust_env=False)
    assert answer.status_code == 202, answer.text
    for tag in ("nightly", "pulp:tag:nightly"):
        assert isinstance(pubtools("tasks", tag), list)
