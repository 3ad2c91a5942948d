"""The released pulp-cli, the newest and one of two years ago, against a whole stack: its commands for tasks.

It finds each call by name in the server's document, and follows a task that an answer names until it ends.
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


class PulpCli:
    """The command, with its own home."""

    def __init__(self, program: Path, server: Server, home: Path) -> None:
        self.program, self.server, self.home = program, server, home

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end."""
        with self.start(*arguments) as process:
            out, said = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, said)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the command; its output is two pipes."""
        login = ("--username", self.server.name, "--password", self.server.password)
        folders = {name: str(self.home) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
        return subprocess.Popen(
            [self.program, "--base-url", self.server.url, *login, "--format", "json", *arguments],
            env=environment(self.home, **folders, NO_PROXY="*"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> Any:
        """What it prints, from JSON; None for nothing."""
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refusal(self, *arguments: str) -> str:
        """Its message on failure; never the traceback of a bug in it, or of an answer that it cannot read."""
        done = self.run(*arguments)
        assert done.returncode != 0, (arguments, done.stdout)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr


@pytest.fixture(scope="module", params=RELEASES)
def pulp(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> PulpCli:
    release = str(request.param)
    python = python_with(f"pulp-cli-{release}", f"pulp-cli=={release}")
    return PulpCli(python.with_name("pulp"), server, tmp_path_factory.mktemp("home"))


def test_status(pulp: PulpCli) -> None:
    found = pulp("status")
    assert [each["component"] for each in found["versions"]] == ["core"]
    assert found["database_connection"] == {"connected": True}


FILTERS: list[tuple[str, ...]] = [
    ("--name", "echo"),
    ("--name-contains", "ech"),
    ("--state", "completed"),
    ("--state-in", "completed", "--state-in", "failed"),
    ("--logging-cid-contains", "0"),
    ("--started-after", "2020-01-01"),
    ("--started-before", "2100-01-01"),
    ("--finished-after", "2020-01-01"),
    ("--finished-before", "2100-01-01"),
    ("--reserved-resource", "repository:zoo"),
    ("--reserved-resource-in", "repository:zoo"),
    ("--exclusive-resource", "repository:zoo"),
    ("--exclusive-resource-in", "repository:zoo"),
    ("--shared-resource", "repository:zoo"),
    ("--shared-resource-in", "repository:zoo"),
    ("--worker", "worker"),
    ("--created-resource", "/pulp/api/v3/artifacts/e0e0a250-eded-468f-9d97-0419a00b130f/"),
    ("--ordering", "-started_at"),
    ("--field", "name", "--field", "state"),
    ("--exclude-field", "result"),
    ("--limit", "2", "--offset", "1"),
]


@pytest.mark.parametrize("options", FILTERS, ids=" ".join)
def test_tasks_are_listed_with_each_option(pulp: PulpCli, tasks: Tasks, options: tuple[str, ...]) -> None:
    if "No such option" in (said := pulp.run("task", "list", *options).stderr):
        pytest.skip(f"this release of the client has no such option: {said.splitlines()[-1]}")
    found = pulp("task", "list", *options)
    assert isinstance(found, list)
    if options[0] in ("--name", "--name-contains"):
        assert {task["name"] for task in found} == {"echo"}
    if options[0] == "--field":
        assert all(task.keys() == {"name", "state"} for task in found)


def test_tasks_are_listed_by_their_relations(pulp: PulpCli, server: Server, tasks: Tasks) -> None:
    child = server.submit("echo", parent_task=server.submit("patient"))
    parent = server.read(child)["parent_task"]
    assert [task["pulp_href"] for task in pulp("task", "list", "--parent-task", parent)] == [child]
    group = {task["pulp_href"] for task in pulp("task", "list", "--task-group", tasks.group)}
    assert group == {tasks.completed, tasks.failed}
    pulp("task", "cancel", "--href", parent)


def test_a_task_is_shown_by_href_and_by_id(pulp: PulpCli, tasks: Tasks) -> None:
    for option, value in (("--href", tasks.completed), ("--uuid", tasks.completed.rstrip("/").rsplit("/", 1)[-1])):
        assert pulp("task", "show", option, value, "--wait")["state"] == "completed"
    assert pulp("show", "--href", tasks.completed)["pulp_href"] == tasks.completed
    said = pulp.refusal("task", "cancel", "--href", tasks.completed)
    assert (
        "cannot be canceled" in said or "has already ended" in said
    )  # refused by the client; by the server, to which 0.29.5 sends it


def test_the_profile_artifacts_of_a_task(pulp: PulpCli, tasks: Tasks) -> None:
    command = ("task", "profile-artifact-urls", "--href", tasks.completed)
    if "No such command" in (said := pulp.run(*command).stderr):
        pytest.skip(f"this release of the client has no such command: {said.splitlines()[-1]}")
    assert pulp(*command) == {}


def test_waiting_for_a_task_that_is_skipped_says_why(pulp: PulpCli, server: Server) -> None:
    running = server.submit("patient")
    skipped = server.submit("echo", depends_on=[running])
    server.until(running, "running")
    with pulp.start("task", "show", "--href", skipped, "--wait") as waiting:
        assert waiting.stderr is not None
        assert "Waiting for task" in waiting.stderr.readline()
        pulp("task", "cancel", "--href", running)
        said = waiting.stderr.read()
    assert waiting.returncode != 0
    assert "Traceback" not in said
    shown = pulp("task", "show", "--href", skipped)
    assert (shown["state"], shown["error"]["description"] in said) == ("failed", True)
    assert "depends on" in said


def test_a_task_is_cancelled_and_waited_for(pulp: PulpCli, server: Server) -> None:
    href = server.submit("patient")
    server.until(href, "running")
    pulp("task", "cancel", "--href", href)
    assert server.read(href)["state"] == "canceled"


def test_all_tasks_are_cancelled(pulp: PulpCli, server: Server) -> None:
    running, waiting = server.submit("patient"), server.submit("echo", queue="nobody")
    server.until(running, "running")
    pulp("task", "cancel", "--waiting")
    assert (server.read(waiting)["state"], server.read(running)["state"]) == ("canceled", "running")
    server.submit("echo", queue="nobody")
    pulp("task", "cancel", "--all")
    assert pulp("task", "summary")["running"] == pulp("task", "summary")["waiting"] == 0


def test_a_task_that_cannot_be_cancelled_is_named_at_the_beginning_of_the_answer(pulp: PulpCli, server: Server) -> None:
    server.go.unlink(missing_ok=True)
    href = server.submit("unstoppable")
    server.until(href, "running")
    said = pulp.refusal("task", "cancel", "--href", href)
    server.go.touch()
    server.until(href, "completed")
    assert f"Cancel Not Implemented for Task: {href.rstrip('/').rsplit('/', 1)[-1]}" in said[:400]


def test_the_summary_counts_by_state(pulp: PulpCli, tasks: Tasks) -> None:
    found = pulp("task", "summary")
    assert found.keys() == {"waiting", "skipped", "running", "completed", "failed", "canceled", "canceling"}
    assert min(found["completed"], found["failed"], found["skipped"]) >= 1


def test_task_groups(pulp: PulpCli, server: Server, tasks: Tasks) -> None:
    listed = {group["pulp_href"]: group for group in pulp("task-group", "list", "--limit", "100")}
    assert (listed[tasks.group]["completed"], listed[tasks.group]["failed"]) == (1, 1)
    uuid = tasks.group.rstrip("/").rsplit("/", 1)[-1]
    assert pulp("task-group", "show", "--href", tasks.group) == server.read(tasks.group)
    assert pulp("task-group", "show", "--uuid", uuid)["pulp_href"] == tasks.group


def test_waiting_for_a_group_ends_with_it(pulp: PulpCli, server: Server) -> None:
    group, failing = str(uuid4()), str(uuid4())
    for _ in range(3):
        server.submit("echo", group_id=group)
    server.submit("patient", group_id=failing)
    pulp("task-group", "show", "--uuid", group, "--wait")
    assert server.read(f"/pulp/api/v3/task-groups/{group}/")["completed"] == 3
    answer = server.http.patch(f"/pulp/api/v3/task-groups/{failing}/", json={"state": "canceled"})
    assert answer.status_code == 200, answer.text
    pulp.refusal("task-group", "show", "--uuid", failing, "--wait")


def test_workers(pulp: PulpCli) -> None:
    [worker] = pulp("worker", "list")
    assert pulp("worker", "show", "--href", worker["pulp_href"])["name"] == worker["name"]
    for options in (
        ("--name", worker["name"]),
        ("--name-contains", "work"),
        ("--name-icontains", "WORK"),
        ("--online",),
    ):
        assert [each["name"] for each in pulp("worker", "list", *options)] == [worker["name"]], options
    assert pulp("worker", "list", "--missing") == []


def test_orphan_cleanup_is_followed_to_its_end(pulp: PulpCli) -> None:
    done = pulp.run("orphan", "cleanup")
    assert done.returncode == 0, done.stderr
    assert "Done." in done.stderr
    assert "orphan_protection_time" in pulp.refusal("orphan", "cleanup", "--protection-time", "1440")


def test_a_correlation_id_is_sent_and_answered_letter_by_letter(pulp: PulpCli) -> None:
    for cid in (uuid4().hex, str(uuid4()).upper()):
        assert pulp("--cid", cid, "status")["versions"]


def test_users_and_groups(pulp: PulpCli, server: Server, tasks: Tasks) -> None:
    assert [user["username"] for user in pulp("user", "list")] == [server.name]
    assert pulp("user", "show", "--username", server.name)["is_staff"] is True
    assert pulp("show", "--href", server.read(tasks.completed)["created_by"])["username"] == server.name
    assert "admin" in [group["name"] for group in pulp("group", "list")]
    assert pulp("group", "show", "--name", "viewer")["name"] == "viewer"


@pytest.mark.parametrize("command", ["artifact list", "content list", "role list", "access-policy list", "domain list"])
def test_what_is_not_served_is_refused_with_a_sentence(pulp: PulpCli, command: str) -> None:
    pulp.refusal(*command.split())


def test_purge_and_destroy(pulp: PulpCli, server: Server) -> None:
    href = server.submit("echo")
    server.until(href, "completed")
    pulp("task", "destroy", "--href", href)
    assert server.http.get(href).status_code == 404
    done = pulp.run("task", "purge", "--state", "failed", "--finished-before", "2020-01-01")
    assert done.returncode == 0, done.stderr


def test_roles_on_a_task(pulp: PulpCli, server: Server, tasks: Tasks) -> None:
    for command in ("my-permissions", "list"):
        pulp("task", "role", command, "--href", tasks.completed)
