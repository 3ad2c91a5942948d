"""The released pulpcore-client, the newest and one of two years ago, against a whole stack: its methods for tasks.

It requires fields and types in each answer, and maps each status to its own error.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.pulp3.conftest import Server, Tasks
from tests.support.client_environment import python_with
from tests.support.command import environment

pytestmark = pytest.mark.timeout(600)
RELEASES = ("3.123.1", "3.65.0")
METHODS = Path(__file__).with_name("methods.py")


class PulpcoreClient:
    """The library, in its environment."""

    def __init__(self, python: Path, server: Server, home: Path) -> None:
        self.python, self.server, self.home = python, server, home

    def answer(self, api: str, method: str, **arguments: object) -> dict[str, Any]:
        """The result, or the error with its status."""
        done = subprocess.run(
            [
                *(self.python, METHODS, self.server.url, self.server.name, self.server.password),
                *(api, method, json.dumps(arguments)),
            ],
            env=environment(self.home, NO_PROXY="*"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def takes(self, api: str, method: str, parameter: str) -> bool:
        """Whether the library has the method, with this parameter."""
        code = (
            f"import pulpcore.client.pulpcore as p; found = getattr(p.{api}, {method!r}, None);"
            f" print(found is not None and {parameter!r} in found.__doc__)"
        )
        done = subprocess.run([self.python, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip() == "True"

    def __call__(self, api: str, method: str, **arguments: object) -> Any:
        """The result of a method that succeeds."""
        found = self.answer(api, method, **arguments)
        assert "result" in found, found
        return found["result"]


@pytest.fixture(scope="module", params=RELEASES)
def client(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> PulpcoreClient:
    release = str(request.param)
    python = python_with(f"pulpcore-client-{release}", f"pulpcore-client=={release}")
    return PulpcoreClient(python, server, tmp_path_factory.mktemp("home"))


CANCEL = {"body": ["PatchedTaskCancel", {"state": "canceled"}], "as": "patched_task_cancel"}


def test_status(client: PulpcoreClient) -> None:
    found = client("StatusApi", "status_read")
    assert found["database_connection"] == {"connected": True}
    assert found["online_workers"]


FILTERS: list[dict[str, Any]] = [
    {"name": "echo"},
    {"name__in": ["echo", "sync"]},
    {"name__contains": "ech", "ordering": ["-started_at", "name"]},
    {"state__in": ["completed", "failed"]},
    {"started_at__gte": "2020-01-01T00:00:00Z", "finished_at__isnull": False},
    {"q": "state='completed' AND NOT name__contains='sync'"},
    {"limit": 1, "offset": 1},
    {"exclude_fields": ["result"]},
]


@pytest.mark.parametrize("arguments", FILTERS, ids=lambda arguments: ",".join(arguments))
def test_tasks_are_listed(client: PulpcoreClient, tasks: Tasks, arguments: dict[str, Any]) -> None:
    unknown = [name for name in arguments if not client.takes("TasksApi", "list", name)]
    if unknown:
        pytest.skip(f"this release of the client has no such parameter: {', '.join(unknown)}")
    found = client("TasksApi", "list", **arguments)
    assert found["count"] >= 1
    assert found["results"]


def test_a_task_is_read(client: PulpcoreClient, tasks: Tasks) -> None:
    for href, state in ((tasks.completed, "completed"), (tasks.failed, "failed"), (tasks.skipped, "failed")):
        assert client("TasksApi", "read", task_href=href)["state"] == state
    assert client("TasksApi", "profile_artifacts", task_href=tasks.completed) == {"urls": {}}
    missing = client.answer("TasksApi", "read", task_href=tasks.completed[:-3] + "00/")
    assert (missing["status"], json.loads(missing["body"])) == (404, {"detail": "No Task matches the given query."})


def test_a_task_is_cancelled_and_one_that_has_ended_is_a_conflict(
    client: PulpcoreClient, server: Server, tasks: Tasks
) -> None:
    href = server.submit("patient")
    server.until(href, "running")
    assert client("TasksApi", "tasks_cancel", task_href=href, **CANCEL)["state"] in ("canceling", "canceled")
    assert client.answer("TasksApi", "tasks_cancel", task_href=tasks.completed, **CANCEL)["status"] == 409


def test_task_groups(client: PulpcoreClient, server: Server, tasks: Tasks) -> None:
    assert client("TaskGroupsApi", "list")["count"] >= 1
    found = client("TaskGroupsApi", "read", task_group_href=tasks.group)
    assert (found["completed"], found["failed"], found["all_tasks_dispatched"]) == (1, 1, True)
    if not client.takes("TaskGroupsApi", "task_groups_cancel", "task_group_href"):
        pytest.skip("this release of the client cannot cancel a group")
    again = client("TaskGroupsApi", "task_groups_cancel", task_group_href=tasks.group, **CANCEL)
    assert again["completed"] == 1


def test_workers(client: PulpcoreClient) -> None:
    [worker] = client("WorkersApi", "list", online=True, ordering=["-last_heartbeat"])["results"]
    assert client("WorkersApi", "read", worker_href=worker["pulp_href"])["name"] == worker["name"]


def test_orphan_cleanup_and_repair_name_their_tasks(client: PulpcoreClient, server: Server) -> None:
    cleanup = {"body": ["OrphansCleanup", {}], "as": "orphans_cleanup"}
    for api, method, arguments in (
        ("OrphansCleanupApi", "cleanup", cleanup),
        ("RepairApi", "post", {"body": ["Repair", {"verify_checksums": True}], "as": "repair"}),
    ):
        href = client(api, method, **arguments)["task"]
        assert server.until(href, "completed", "failed")["state"] == "completed"


def test_users_and_groups(client: PulpcoreClient, server: Server) -> None:
    [user] = client("UsersApi", "list")["results"]
    assert client("UsersApi", "read", auth_user_href=user["pulp_href"])["username"] == server.name
    group = client("GroupsApi", "list", name="admin")["results"][0]
    assert client("GroupsApi", "read", group_href=group["pulp_href"])["name"] == "admin"
    assert [each["username"] for each in client("GroupsUsersApi", "list", group_href=group["pulp_href"])["results"]]


def test_what_is_not_served_is_an_error_with_a_detail(client: PulpcoreClient) -> None:
    for api in ("ArtifactsApi", "ContentApi", "RolesApi"):
        refused = client.answer(api, "list")
        assert (refused["status"], list(json.loads(refused["body"]))) == (404, ["detail"])


def test_purge_and_delete(client: PulpcoreClient, server: Server) -> None:
    href = server.submit("echo")
    server.until(href, "completed")
    assert client("TasksApi", "delete", task_href=href) is None
    body = {"finished_before": "2020-01-01T00:00:00Z", "states": ["failed"]}
    task = client("TasksApi", "purge", **{"body": ["Purge", body], "as": "purge"})["task"]
    assert server.until(task, "completed", "failed")["state"] == "completed"


def test_schedules(client: PulpcoreClient, server: Server) -> None:
    assert client("TaskSchedulesApi", "list")["count"] >= 0
