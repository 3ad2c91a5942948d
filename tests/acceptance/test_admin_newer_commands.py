"""Retries, groups, purges, schedules, tokens and logins with `pulp-admin`, as a user sees them: pages, refusals, exit
codes."""

import json
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pulp_deploy.stack import Stack, StackOptions
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord

from tests.acceptance.test_admin_against_the_api import ROOT, UNKNOWN, User
from tests.support import documented
from tests.support.command import OnATerminal, environment, pulp_tasks

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
    """Each exits with its code, says why on standard error, and prints nothing else and no traceback."""
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


def between_attempts(user: User) -> str:
    """A task whose first attempt has failed, and whose next one is far away."""
    retry = {"retries": 2, "backoff_seconds": 3600, "max_backoff_seconds": 3600}
    answer = httpx.post(
        f"{user.stack.url}/pulp/api/v3/tasks/",
        json={"operation": "flaky", "arguments": {"fails": 9}, "retry": retry},
        auth=("admin", user.password),
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == 202, answer.text
    task_id = str(answer.json()["task"].split("/")[-2])
    user.wait(task_id, "attempt-failed")
    return task_id


def events_of(user: User, task_id: str) -> list[str]:
    """What `tasks history` prints for each event, without its time, its offset and its author."""
    lines = user("tasks", "history", "--task-id", task_id).stdout.splitlines()[1:]
    return [" ".join(line.split()[3:4] + line.split()[5:]) for line in lines]


def test_between_two_attempts_a_person_reads_what_failed_and_when_it_goes_on_and_cancels_it(user: User) -> None:
    task_id = between_attempts(user)
    shown = json_of(user, "tasks", "details", "--task-id", task_id, "--why")
    documented.check("tasks details", shown, "pulp-admin")
    assert (shown["state"], shown["attempt"], shown["failed_attempts"]) == ("waiting", 1, 1)
    assert [each["reason"] for each in shown["why"]["reasons"]] == ["next-attempt"]
    told = f"Attempt 1 failed (flaky). The next one begins no earlier than {shown['retry_at']}."

    details = user("tasks", "details", "--task-id", task_id)
    assert re.search(r"^State: +Waiting$", details.stdout, re.MULTILINE)
    assert "Exception" not in details.stdout  # the task has not failed
    assert " ".join(details.stderr.split()) == f"It waits: {told}"
    page = user("tasks", "details", "--task-id", task_id, "--why").stdout
    assert f"Why: {told}" in " ".join(page.split())
    wide = user("tasks", "list", "--output", "wide").stdout
    [line] = [each for each in wide.splitlines() if task_id in each]
    assert ("Waiting" in line, told in line) == (True, True)

    cancelled = user("tasks", "cancel", "--task-id", task_id, "--reason", "not today")
    assert (cancelled.returncode, cancelled.stdout, cancelled.stderr) == (0, "", "")
    assert user("tasks", "watch", "--task-id", task_id).returncode == 3
    ended = json_of(user, "tasks", "details", "--task-id", task_id)
    assert (ended["state"], ended["attempt"], ended["retry_at"]) == ("canceled", 1, None)
    kinds = [event.split()[0] for event in events_of(user, task_id)]
    assert kinds == ["accepted", "started", "progress", "attempt-failed", "cancel-requested", "finished"]
    documented.check("tasks history", json_of(user, "tasks", "history", "--task-id", task_id), "pulp-admin")


def test_a_task_that_fails_once_is_tried_again_and_followed_to_its_success(user: User) -> None:
    followed = user("submit", "flaky", "--arguments", '{"fails": 1}', "--retries", "1", "--watch")
    assert followed.returncode == 0, followed.stderr
    task_id = followed.stdout.split('"')[0].split()[-2]
    details = user("tasks", "details", "--task-id", task_id)
    assert re.search(r"^State: +Successful$", details.stdout, re.MULTILINE)
    assert details.stderr == "It was tried 2 times.\n"
    failed, again = (event for event in events_of(user, task_id) if event.startswith(("attempt-failed", "started att")))
    assert failed.startswith("attempt-failed attempt 1 fails; next attempt from 20")
    assert again == "started attempt 2"


def test_tasks_of_a_group_name_it(user: User) -> None:
    group = str(uuid4())
    made = [user.submit("echo", "--group", group) for _ in range(2)]
    assert {user.report(task_id)["task_group_id"] for task_id in made} == {group}
    check_refusals(user, [(["submit", "echo", "--group", "x"], 64, "'x' is not a valid UUID")])


def test_a_purge_hides_what_has_ended_and_refuses_the_rest(user: User) -> None:
    ended, waiting = user.submit("echo"), user.submit("echo", "--queue", "nobody")
    assert user("tasks", "watch", "--task-id", ended).returncode == 0
    purged = user("tasks", "purge", "--task-id", ended)
    assert (purged.returncode, purged.stdout.splitlines()[-2:]) == (0, [f"Task {ended} is purged.", ""])

    missing = user("tasks", "details", "--task-id", ended)
    assert (missing.returncode, ended in missing.stderr) == (65, True)
    assert ended not in user("tasks", "list", "--all").stdout
    assert ended in user("tasks", "list", "--purged").stdout
    shown = user("tasks", "details", "--task-id", ended, "--purged")
    assert (shown.returncode, "It was purged at" in shown.stderr, "user:admin" in shown.stderr) == (0, True, True)
    documented.check("tasks details", json_of(user, "tasks", "details", "--task-id", ended, "--purged"), "pulp-admin")
    assert events_of(user, ended)[-1].split()[0] == "purged"  # who did it is in the history
    assert [each["actor"] for each in json_of(user, "tasks", "history", "--task-id", ended)][-1] == "user:admin"

    check_refusals(
        user,
        [
            (["tasks", "purge"], 64, "Give --all, --state or --task-id."),
            (["tasks", "purge", "--state", "running"], 64, "never purged"),
            (["tasks", "purge", "--all", "--before", "soon"], 64, "soon"),
            (["tasks", "purge", "--task-id", waiting], 65, "has not ended: wait for its end, or cancel it"),
            (["tasks", "purge", "--task-id", UNKNOWN], 65, UNKNOWN),
            (["tasks", "purge", "--task-id", ended], 65, f"There is no task {ended}, or it is purged already"),
        ],
    )
    assert user("tasks", "cancel", "--task-id", waiting).returncode == 0


def test_a_purge_of_many_is_a_task_that_is_followed_and_a_viewers_is_refused_and_audited(user: User) -> None:
    tag = ("--tag", "to-be-purged")
    ended = [user.submit("echo", *tag) for _ in range(3)]
    for task_id in ended:
        assert user("tasks", "watch", "--task-id", task_id).returncode == 0
    started = user("tasks", "purge", "--state", "successful")
    assert started.stdout.splitlines()[-2:] == ["Task purging is successfully initiated.", ""]
    [purge] = re.findall(r"--task-id (\S{36})", " ".join(started.stderr.split()))
    assert user("tasks", "watch", "--task-id", purge).returncode == 0
    assert "Successful" in user("tasks", "details", "--task-id", purge).stdout
    listed = ("tasks", "list", "--tag", "to-be-purged")
    assert json_of(user, *listed, "--all") == []
    assert {each["task_id"] for each in json_of(user, *listed, "--purged")} == set(ended)
    [entry] = [each for each in json_of(user, "tasks", "history", "--task-id", ended[0]) if "purged" in each["type"]]
    assert entry["event"]["data"]["requested_by"] == "user:admin"

    token = user("tokens", "create", "--name", "onlooker", "--role", "viewer", "--expires", "1h").stdout.strip()
    alone = {"PULP_ADMIN_CONFIG": "/dev/null", "PULP_URL": user.stack.url, "PULP_TOKEN": token}
    refused = user("tasks", "purge", "--all", **alone)
    assert (refused.returncode, "viewer" in refused.stderr) == (77, True)
    data = ("--data", str(user.stack.folder.path))
    audit = pulp_tasks("audit", "list", *data, "--kind", "forbidden", "--output", "json", env=environment(user.home))
    assert "POST /pulp/api/v3/tasks/purge/" in json.loads(audit.stdout)[-1]["detail"]


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
    for _ in range(2):  # a repetition changes nothing and is not an error
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


def test_a_parked_task_is_told_discarded_and_audited_as_the_document_shows_it(user: User) -> None:
    task_id = user.submit("echo", "--queue", "nobody")
    env = environment(user.home, **user.stack.service_environment())
    [accepted] = json_of(user, "tasks", "history", "--task-id", task_id)
    partition = int(accepted["partition"])
    bad = RawRecord(task_id.encode(), b"{", (), partition)
    [position] = raw_producer.append(raw_producer.make(user.stack.backend.kafka), "pulp.tasks.events", [bad])
    listed = until(lambda: pulp_tasks("dead-letters", "list", env=env).stdout, r" yes +parks ")
    assert user("tasks", "cancel", "--task-id", task_id).returncode == 75  # it waits: its effect is not known yet
    listed = until(lambda: pulp_tasks("dead-letters", "list", env=env).stdout, r" parks +1 ")
    why = json_of(user, "tasks", "details", "--task-id", task_id, "--why")
    assert (why["state"], why["why"]["reasons"][0]["reason"]) == ("waiting", "parked")
    given = ("discard", str(position), "--reason", "sent by a broken script", "--yes")
    done = pulp_tasks("dead-letters", *given, env=env)
    assert done.returncode == 0, done.stderr
    audited = until(lambda: user("audit", "list", "--event", "unparked").stdout, r" unparked ")
    assert until(lambda: str(user.report(task_id)["state"]), "canceled")
    shown = (ROOT / "docs" / "audit.md").read_text().split("## What could not be read?")[1].split("```text\n")[1]
    assert masked(listed + done.stdout + audited) == masked(shown.split("```")[0])


def until(read: Callable[[], str], pattern: str) -> str:
    """The output, as soon as it matches the pattern."""
    deadline_s = time.monotonic() + 60
    while not re.search(pattern, found := read()):
        assert time.monotonic() < deadline_s, found
    return found


def masked(text: str) -> list[str]:
    """Its lines without positions, times, ids and names, which differ each time; with a single blank between words."""
    for pattern, name in (
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\S+", "TIME"),
        (r"\d+:\d+(?= )|(?<= at )\d+:\d+", "PLACE"),
        (r"os:\S+", "os:WHO"),
        (r"\b[0-9a-f]{8}\b", "TASK"),
        (r"offset \d+", "offset N"),
    ):
        text = re.sub(pattern, name, text)
    return [" ".join(line.split()) for line in text.splitlines()]
