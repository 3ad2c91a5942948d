"""The released pulp-glue, which pulp-cli and squeezer are built on, against a whole stack: its contexts for tasks.

Waits, time limits and the background are its own: it polls a task until it is in a final state.
"""

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.pulp3.conftest import Server, Tasks
from tests.support.client_environment import python_with
from tests.support.command import environment

pytestmark = pytest.mark.timeout(900)
RELEASES = ("0.41.1", "0.29.5")
CALLS = Path(__file__).with_name("glue.py")


class PulpGlue:
    """The library, in its own environment."""

    def __init__(self, python: Path, server: Server, home: Path) -> None:
        self.python, self.server, self.home = python, server, home

    def answer(self, method: str, *arguments: object, wait_s: int = 60) -> dict[str, Any]:
        """The result of a function of `glue.py`, or the error that the library raises."""
        login = (self.server.url, self.server.name, self.server.password)
        folders = {name: str(self.home) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
        done = subprocess.run(
            [self.python, CALLS, *login, str(wait_s), method, json.dumps(arguments)],
            env=environment(self.home, **folders, NO_PROXY="*"),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def __call__(self, method: str, *arguments: object, wait_s: int = 60) -> Any:
        """The result of a function that succeeds."""
        found = self.answer(method, *arguments, wait_s=wait_s)
        assert "result" in found, found
        return found["result"]


@pytest.fixture(scope="module", params=RELEASES)
def glue(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> PulpGlue:
    release = str(request.param)
    python = python_with(f"pulp-glue-{release}", f"pulp-glue=={release}")
    return PulpGlue(python, server, tmp_path_factory.mktemp("home"))


def test_a_wait_ends_with_the_task(glue: PulpGlue, server: Server) -> None:
    assert glue("wait", server.submit("echo"))["state"] == "completed"
    failed = glue.answer("wait", server.submit("misbehave", arguments={"how": "raise"}))
    assert failed["error"] == "PulpException"
    assert "failed" in failed["message"]
    running = server.submit("patient")
    server.until(running, "running")
    assert glue("cancel", running, False) == "canceled"
    cancelled = glue.answer("wait", running)
    assert (cancelled["error"], "canceled" in cancelled["message"]) == ("PulpException", True)


def test_a_wait_has_a_limit_and_none_is_made_in_the_background(glue: PulpGlue, server: Server) -> None:
    running = server.submit("patient")
    server.until(running, "running")
    late = glue.answer("wait", running, wait_s=1)
    assert (late["error"], "timed out" in late["message"]) == ("PulpNoWait", True)
    assert glue.answer("wait", running, wait_s=0)["error"] == "PulpNoWait"
    assert glue("cancel", running, True) in ("canceling", "canceled")
    server.until(running, "canceled")


def test_what_is_started_in_the_background_runs(glue: PulpGlue, server: Server) -> None:
    before = server.read("/pulp/api/v3/tasks/?name=purge-tasks")["count"]
    assert glue.answer("purge", 10_000, ["failed"], wait_s=0)["error"] == "PulpNoWait"
    after = server.read("/pulp/api/v3/tasks/?name=purge-tasks")
    assert after["count"] == before + 1
    server.until(after["results"][0]["pulp_href"], "completed")


def test_a_wait_for_a_group_ends_with_its_tasks(glue: PulpGlue, server: Server, tasks: Tasks) -> None:
    group = str(uuid4())
    for _ in range(2):
        server.submit("echo", group_id=group)
    assert glue("wait_for_group", f"/pulp/api/v3/task-groups/{group}/") is None
    failed = glue.answer("wait_for_group", tasks.group)
    assert (failed["error"], "failed" in failed["message"]) == ("PulpException", True)


def test_each_kind_of_entity_is_listed_found_and_shown(glue: PulpGlue, server: Server, tasks: Tasks) -> None:
    for kind, by in (
        ("worker", {"name": "worker"}),
        ("user", {"username": server.name}),
        ("group", {"name": "viewer"}),
    ):
        [listed] = glue("listed", kind, by)
        assert glue("found", kind, by) == listed["pulp_href"]
        assert glue("shown", kind, listed["pulp_href"])["pulp_href"] == listed["pulp_href"]
    assert {each["name"] for each in glue("listed", "task", {"name": "echo", "ordering": ["-pulp_created"]})} == {
        "echo"
    }
    for kind, href in (("task", tasks.completed), ("task-group", tasks.group)):
        assert glue("shown", kind, href)["pulp_href"] == href
        assert glue("every_page", kind) >= 1


def test_what_is_missing_or_not_served_is_an_error_of_the_library(glue: PulpGlue, tasks: Tasks) -> None:
    assert "Could not find" in glue.answer("found", "user", {"username": "nobody"})["message"]
    assert glue.answer("shown", "task", f"/pulp/api/v3/tasks/{uuid4()}/")["error"] == "PulpHTTPError"
    assert glue.answer("listed", "artifact", {})["error"] == "PulpHTTPError"


def test_tasks_are_counted_deleted_and_purged(glue: PulpGlue, server: Server, tasks: Tasks) -> None:
    counts = glue("summary")
    assert min(counts["completed"], counts["failed"], counts["skipped"]) >= 1
    href = server.submit("echo")
    server.until(href, "completed")
    assert glue("delete", href) is None
    assert server.http.get(href).status_code == 404
    purge = glue("purge", 10_000, ["completed", "failed"])
    assert {each["code"]: each["total"] for each in purge["progress_reports"]} == {
        "purge.tasks.total": 0,
        "purge.tasks.error": 0,
        "purge.tasks.key.core.Task": 0,
    }
    assert {each["code"] for each in glue("clean_up_orphans")["progress_reports"]} == {
        "clean-up.content",
        "clean-up.artifacts",
    }


def test_roles_on_a_task(glue: PulpGlue, server: Server, tasks: Tasks) -> None:
    assert "core.change_task" in glue("permissions", tasks.completed)
    roles = glue("change_role", tasks.completed, "add_role", server.name)
    assert {"role": "core.task_viewer", "users": [server.name], "groups": []} in roles
    left = glue("change_role", tasks.completed, "remove_role", server.name)
    assert [each["role"] for each in left] == ["core.task_owner"]
