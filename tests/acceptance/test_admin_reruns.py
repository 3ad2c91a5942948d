"""`pulp-admin tasks rerun` and `tasks cancel --all` as a user runs them, against a whole stack."""

import json
from typing import Any

import pytest

from tests.acceptance.test_admin_against_the_api import User, user

__all__ = ["user"]
FAILING = ("misbehave", "--argument", "how=code")


def failed(user: User, *more: str) -> str:
    """The id of a task that has failed."""
    task_id = user.submit(*FAILING, *more)
    assert user("tasks", "watch", "--task-id", task_id).returncode == 1
    return task_id


def planned(user: User, *arguments: str) -> list[str]:
    """The tasks of a dry run."""
    shown = user("tasks", *arguments, "--dry-run", "--output", "json")
    assert shown.returncode == 0, shown.stderr
    return [task["task_id"] for task in json.loads(shown.stdout)["tasks"]]


def outcomes(user: User, *arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """Task → its outcome."""
    shown = user("tasks", *arguments, "--yes", "--output", "json")
    assert shown.returncode == code, shown.stderr
    return {task["task_id"]: task for task in json.loads(shown.stdout)["tasks"]}


def test_one_task_with_another_argument_is_followed_to_its_end(user: User) -> None:
    first = failed(user, "--priority", "3", "--tag", "mine", "--resource", "repository:zoo")
    result = user("tasks", "rerun", "--task-id", first, "--argument", "how=raise", "--follow")
    assert (result.returncode, result.stdout.splitlines()[0]) == (1, "Request accepted")
    second = result.stdout.split('"')[0].split()[-2]
    old, new = user.report(first), user.report(second)
    assert (old["reruns"], new["rerun_of"], new["reruns"]) == ([second], first, [])
    assert (new["task_type"], new["tags"], new["queue"]) == (old["task_type"], ["pulp:tag:mine"], old["queue"])
    assert (old["error"]["code"], new["error"]["code"]) == ("out-of-disk", "operation-failed")

    shown = user("tasks", "details", "--task-id", second)
    assert (shown.stderr, first in shown.stdout) == (f"It runs task {first} again.\n", False)
    assert user("tasks", "details", "--task-id", first).stderr == f"It was run again as task {second}.\n"
    assert f"misbehave, rerun of {first}" in " ".join(user("tasks", "history", "--task-id", second).stdout.split())


def test_a_task_that_has_not_ended_is_not_run_again(user: User) -> None:
    task_id = user.submit("patient")
    refused = user("tasks", "rerun", "--task-id", task_id)
    assert (refused.returncode, f"task {task_id} has not ended" in refused.stderr) == (65, True)
    assert user("tasks", "cancel", "--task-id", task_id).returncode == 0
    assert user("tasks", "rerun", "--task-id", task_id, "--dry-run").returncode == 0


def test_all_that_failed_are_run_again_once(user: User) -> None:
    command = ("rerun", "--all", "--state", "error", "--tag", "once")
    first = [failed(user, "--tag", "once") for _ in range(3)]
    assert planned(user, *command) == first
    refused = user("tasks", *command)
    assert (refused.returncode, "Run again 3 tasks (state Error, tag once)?" in refused.stderr) == (64, True)
    done = outcomes(user, *command)
    assert {task["outcome"] for task in done.values()} == {"done"}
    second = [done[task_id]["rerun"] for task_id in first]
    for task_id in second:
        assert user("tasks", "watch", "--task-id", task_id).returncode == 1
    # The reruns, which came later, and not the first tasks, which failed as well.
    assert planned(user, *command) == second
    assert set(planned(user, *command, "--again")) == {*first, *second}


@pytest.fixture
def unstoppable(user: User) -> str:
    """A running task that cannot be cancelled, and ends when the test says so."""
    (user.stack.folder.path / "storage" / "go").unlink(missing_ok=True)
    task_id = user.submit("unstoppable")
    user.wait(task_id, "started")
    return task_id


def test_all_that_match_are_cancelled_and_the_rest_is_listed(user: User, unstoppable: str) -> None:
    waiting = [user.submit("echo", "--depends-on", unstoppable) for _ in range(20)]
    other = user.submit("echo-plain", "--depends-on", unstoppable)
    command = ("cancel", "--all", "--operation", "echo", "--operation", "unstoppable", "--reason", "not today")
    assert planned(user, *command) == [unstoppable, *waiting]
    done = outcomes(user, *command, code=69)
    assert done.pop(unstoppable)["outcome"] == "refused"
    assert {task["outcome"] for task in done.values()} == {"done"}
    assert sorted(done) == sorted(waiting)
    last = user.report(waiting[-1])
    assert (last["state"], user.report(other)["state"]) == ("canceled", "waiting")
    assert "not today" in user("tasks", "history", "--task-id", waiting[-1]).stdout

    again = user("tasks", *command, "--yes")
    assert (again.returncode, again.stdout.splitlines()[0]) == (69, "0 tasks cancelled, 1 could not be:")
    assert again.stdout.splitlines()[2].startswith(f"{unstoppable}  unstoppable  Cancel Not Implemented for Task: ")
    (user.stack.folder.path / "storage" / "go").touch()
    assert user("tasks", "watch", "--task-id", unstoppable).returncode == 0
