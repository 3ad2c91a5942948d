"""Groups, schedules, tokens and logins by `pulp-admin`, as a user meets them: pages, refusals, exit codes."""

import json
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pulp_deploy.stack import Stack, StackOptions

from tests.acceptance.test_admin_against_the_api import ROOT, User
from tests.support.command import OnATerminal, environment

Refusal = tuple[Sequence[str], int, str]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    settings = {
        "PULP_QUEUES": "nobody",
        "PULP_WORKER_MODULES": "tests.support.worker_operations",
        "PYTHONPATH": str(ROOT),
    }
    with Stack(StackOptions.throwaway(settings=settings)) as stack:
        yield User(stack, tmp_path_factory.mktemp("home"))


def check_refusals(user: User, refusals: Sequence[Refusal]) -> None:
    """Each ends with its code, says why on standard error, and prints nothing else, nor a traceback."""
    for arguments, code, said in refusals:
        result = user(*arguments)
        told = " ".join(result.stderr.split())
        assert (result.returncode, said in told) == (code, True), (arguments, result.stderr)
        assert "Traceback" not in told
        assert "\x1b" not in result.stdout + result.stderr


def json_of(user: User, *arguments: str) -> Any:
    result = user(*arguments, "--output", "json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_tasks_of_a_group_name_it(user: User) -> None:
    group = str(uuid4())
    made = [user.submit("echo", "--group", group) for _ in range(2)]
    assert {user.report(task_id)["task_group_id"] for task_id in made} == {group}
    check_refusals(user, [(["submit", "echo", "--group", "x"], 64, "'x' is not a valid UUID")])


def test_what_is_wrong_with_a_schedule_is_said(user: User) -> None:
    made = user("schedules", "create", "hourly", "echo", "--every", "1h", "--tag", "night")
    assert (made.returncode, made.stdout.splitlines()[0]) == (0, "Schedule [hourly] successfully created")
    create = ["schedules", "create"]
    check_refusals(
        user,
        [
            ([*create, "hourly", "echo", "--every", "1h"], 65, "must be unique"),
            ([*create, "x", "ehco", "--every", "1h"], 65, "did you mean 'echo'"),
            ([*create, "x", "echo", "--cron", "61 * * * *"], 65, "cron"),
            ([*create, "x", "echo", "--cron", "0 0 * * *", "--time-zone", "Mars/X"], 65, "time_zone"),
            ([*create, "x", "echo", "--every", "5s"], 65, "10"),
            ([*create, "x", "echo", "--at", "2020-01-01"], 65, "The time has passed"),
            ([*create, "x", "echo", "--every", "1h", "--queue", "nowhere"], 65, "unknown queue 'nowhere'"),
            (["schedules", "show", "hourl"], 65, "Did you mean 'hourly'?"),
            (["schedules", "enable", "nothing"], 65, "There is no schedule 'nothing'."),
            (["schedules", "disable", "nothing"], 65, "There is no schedule 'nothing'."),
            (["schedules", "delete", "nothing", "--yes"], 65, "There is no schedule 'nothing'."),
            (["schedules", "delete", "hourly"], 64, "add --yes"),
        ],
    )
    for _ in range(2):  # a repetition changes nothing and is no error
        assert user("schedules", "disable", "hourly").returncode == 0
    assert "disabled" in user("schedules", "list").stdout
    assert json_of(user, "schedules", "enable", "hourly")["enabled"] is True
    page = user("schedules", "show", "hourly")
    assert page.returncode == 0
    assert all(len(line) <= 80 for line in page.stdout.splitlines())
    assert user("schedules", "delete", "hourly", "--yes").returncode == 0
    assert "There is no schedule yet." in user("schedules", "list").stderr


def test_a_token_works_until_it_is_revoked_and_allows_no_more_than_its_role(user: User) -> None:
    made = user("tokens", "create", "--name", "reader", "--role", "viewer", "--expires", "1h")
    token = made.stdout.strip()
    assert (made.returncode, made.stdout) == (0, f"{token}\n")
    alone = {"PULP_ADMIN_CONFIG": "/dev/null", "PULP_URL": user.stack.url, "PULP_TOKEN": token}
    assert user("tasks", "list", **alone).returncode == 0
    refused = user("submit", "echo", **alone)
    assert (refused.returncode, "viewer" in refused.stderr) == (77, True)
    assert user("tokens", "create", "--name", "more", **alone).returncode == 77
    check_refusals(
        user,
        [
            (["tokens", "create", "--name", "reader"], 65, "reader"),
            (["tokens", "create", "--name", "x", "--expires", "90"], 64, "a duration is expected"),
            (["tokens", "create", "--name", "x", "--expires", "9000d"], 65, "expires_in_seconds"),
            (["tokens", "create", "--name", "x", "--role", "king"], 64, "king"),
            (["tokens", "revoke", "--name", "reader"], 64, "add --yes"),
            (["tokens", "revoke", "--name", "none", "--yes"], 65, "There is no token none"),
            (["tokens", "revoke"], 64, "Give --name or --id."),
        ],
    )
    assert user("tokens", "revoke", "--name", "reader", "--yes").returncode == 0
    assert user("tasks", "list", **alone).returncode == 77
    [row] = [each for each in json_of(user, "tokens", "list") if each["name"] == "reader"]
    assert row["valid"] is False
    assert token not in json.dumps(row)


def test_a_login_is_kept_and_serves_the_next_commands_until_the_logout(user: User, tmp_path: Path) -> None:
    place = {"HOME": str(tmp_path), "PULP_ADMIN_CONFIG": str(tmp_path / "admin.toml"), "PULP_URL": user.stack.url}
    (tmp_path / "admin.toml").write_text("")
    (tmp_path / "admin.toml").chmod(0o600)
    assert user("tasks", "list", **place).returncode == 77
    wrong = user("login", "-u", "admin", "-p", "wrong", **place)
    assert (wrong.returncode, wrong.stdout) == (77, "")
    logged_in = user("login", "-u", "admin", "-p", user.password, **place)
    assert (logged_in.returncode, logged_in.stdout.startswith("Successfully logged in.")) == (0, True)
    [kept] = [path for path in tmp_path.rglob("sessions.json")]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert user.password not in kept.read_text()
    assert user("tasks", "list", **place).returncode == 0
    assert user("logout", **place).stdout == "Session successfully removed.\n"
    assert user("tasks", "list", **place).returncode == 77
    again = user("logout", **place)
    assert (again.returncode, again.stdout) == (0, "No session found, nothing to do.\n")


def test_top_follows_the_events_and_cancels_a_task(user: User) -> None:
    command = [str(Path(sys.executable).with_name("pulp-admin")), "top"]
    with OnATerminal(command, environment(user.home, **user.stack.client_environment())) as screen:
        screen.until("live")
        task_id = user.submit("patient", "--tag", "top")
        screen.press("/")
        screen.until("first digits of an id")
        screen.press(f"{task_id[:18]}\r")
        screen.until("patient")
        user.wait(task_id, "started")
        screen.press("c")
        screen.until("Cancel patient?")
        screen.press("y")
        assert user.wait(task_id, "finished")["state"] == "canceled"
        screen.press("q")
        assert screen.end() == 0
