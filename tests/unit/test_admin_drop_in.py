"""Scripts for Pulp 2's `pulp-admin`: its commands, options, words on standard output, and exit codes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from pulp_admin.app import App
from pulp_admin.client import Client
from pulp_admin.main import run
from pulp_admin.paths import api_path

from tests.support.admin import Answer, admin, client_of
from tests.unit.test_admin_guide import CANCELLED_SYNC, SYNC

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
RULE = "+----------------------------------------------------------------------+\n"
TASKS = f"{RULE}                                 Tasks\n{RULE}\n"


class Printed(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Printed]


class Server:
    """Answers every request, and records it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().removeprefix("/pulp/api/")
        self.asked.append((request.method, path))
        found = self.answers.get(path.partition("?")[0], [])
        if isinstance(found, httpx.Response):
            return found
        if request.method == "POST":
            return httpx.Response(202, json={"task": f"/pulp/api/v3/tasks/{ID}/"})
        return httpx.Response(200 if request.method == "GET" else 202, json=found)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def call(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def called(*arguments: str) -> Printed:
        code = admin(tmp_path, server, *arguments)
        return Printed(code, *capsys.readouterr())

    return called


def test_all_and_a_state_are_refused_in_pulps_words_and_with_its_exit_code(call: Command, server: Server) -> None:
    for words in (("--all", "--state", "failed"), ("-s", "running,waiting", "-a")):
        assert call("tasks", "list", *words) == (0, f"{TASKS}These arguments cannot be used together\n\n", "")
    program = call("tasks", "list", "--all", "--state", "failed", "--output", "json")
    assert (program.code, program.out) == (64, "")
    assert "cannot be used together" in program.err
    assert server.asked == []


def test_states_are_those_of_pulps_help(call: Command, server: Server) -> None:
    assert call("tasks", "list", "--state", "running,waiting,canceled,successful,failed").code == 0
    states = ["running", "waiting", "canceled", "finished", "error"]
    assert server.asked == [("GET", "v2/tasks/?" + "&".join(f"state={state}" for state in states))]


def test_states_of_pulp_that_no_task_is_ever_in_are_asked_for_too(call: Command, server: Server) -> None:
    printed = call("tasks", "list", "--state", "accepted,Suspended,timed out,running")
    assert (printed.code, printed.out, printed.err) == (0, f"{TASKS}No tasks found\n\n", "")
    assert server.asked == [("GET", "v2/tasks/?state=accepted&state=suspended&state=timed+out&state=running")]
    refused = call("tasks", "purge", "--state", "suspended")
    assert (refused.code, "such a task has not ended" in refused.err) == (64, True)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("auth user list", "pulp-tasks users"),
        ("consumer list", "It does not concern tasks"),
        ("event listener http list", "pulp-admin subscriptions"),
        ("rpm repo content rpm --repo-id zoo", "sync and publish them"),
        ("rpm repo tasks list --repo-id zoo", "pulp-admin repo tasks"),
        ("rpm repo group list", "There are no groups of repositories here"),
        ("repo group list", "There are no groups of repositories here"),
        ("repo history sync --repo-id zoo", "pulp-admin repo tasks list --repo-id ID"),
        ("repo download --repo-id zoo", "pulp-admin repo repair"),
        ("server types", "pulp-admin operations"),
        ("rpm repo sync schedules list --repo-id zoo", "pulp-admin schedules"),
        ("rpm repo publish schedules list --repo-id zoo", "pulp-admin schedules"),
    ],
)
def test_a_command_of_pulp_that_is_not_here_is_told_what_to_do_instead(
    call: Command, server: Server, command: str, instead: str
) -> None:
    printed = call(*command.split())
    assert (printed.code, printed.out, server.asked) == (64, "", [])
    assert instead in printed.err
    assert "Did you mean" not in printed.err


def test_the_tasks_of_a_repository(call: Command, server: Server) -> None:
    server.answers["v2/tasks/"] = [SYNC]
    printed = call("repo", "tasks", "list", "--repo-id", "a/b?c")
    assert printed.code == 0
    assert printed.out.startswith(
        f"{TASKS}Operations:  sync\nResources:   ff7-e6 (repository)\nState:       Cancelled\n"
    )
    assert server.asked == [("GET", "v2/tasks/?tag=pulp%3Arepository%3Aa%2Fb%3Fc")]
    assert call("repo", "tasks", "list").code == 64


def test_details_and_cancel_of_a_repositorys_task_are_those_of_any_task(call: Command, server: Server) -> None:
    server.answers[f"v2/tasks/{ID}/"] = SYNC
    assert call("repo", "tasks", "details", "--task-id", ID).out == CANCELLED_SYNC + "\n\n"
    assert call("repo", "tasks", "cancel", "--task-id", ID) == (0, "", "")
    assert call("repo", "tasks", "cancel", "--all").code == 64
    assert server.asked == [("GET", f"v2/tasks/{ID}/"), ("DELETE", f"v2/tasks/{ID}/")]


def test_an_orphan_removal_prints_what_the_guide_prints_and_with_bg_a_sentence_more(call: Command) -> None:
    accepted = f'Request accepted\n\ncheck status of task {ID} with "pulp-admin tasks details"\n'
    assert call("orphan", "remove", "--all").out == accepted
    assert call("orphan", "remove", "--all", "--bg").out == f"{accepted}The request has been queued on the server.\n\n"
    program = call("orphan", "remove", "--all", "--bg", "--output", "json")
    assert json.loads(program.out) == {"task_id": ID}


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("--type", "rpm"), "v2/content/orphans/rpm/"),
        (("--type", "rpm", "--unit-id", "../a b"), "v2/content/orphans/rpm/..%2Fa%20b/"),
    ],
)
@pytest.mark.parametrize("body", [{"task_id": ID}, {"spawned_tasks": [{"task_id": ID}]}])
def test_orphans_of_a_type_are_removed_as_pulp_asks_for_it(
    call: Command, server: Server, words: tuple[str, ...], path: str, body: dict[str, Any]
) -> None:
    server.answers[path] = body
    assert ID in call("orphan", "remove", *words).out
    assert server.asked == [("DELETE", path)]


@pytest.mark.parametrize(
    ("words", "missing"), [((), "--all"), (("--unit-id", "x"), "--type"), (("--type", ".."), "cannot be")]
)
def test_an_orphan_removal_that_names_too_little(
    call: Command, server: Server, words: tuple[str, ...], missing: str
) -> None:
    printed = call("orphan", "remove", *words)
    assert printed.code in (64, 65)
    assert missing in printed.err
    assert server.asked == []


def test_orphans_are_counted_as_pulp_prints_them(call: Command, server: Server) -> None:
    server.answers["v2/content/orphans/"] = {"rpm": {"count": 12, "_href": "x"}, "erratum": {"count": 3}}
    summary = f"{RULE}                                Summary\n{RULE}\n"
    counts = "Erratum:  3\nRpm:      12\nTotal:    15\n\n"
    assert call("orphan", "list").out == summary + counts
    assert call("orphan", "list", "--details").out == (
        f"no content type specified; details flag ignored\n\n{summary}{counts}"
    )
    server.answers["v2/content/orphans/rpm/"] = [{"_content_type_id": "rpm", "_id": "u1", "name": "bear"}]
    assert call("orphan", "list", "--type", "rpm", "--details").out == (
        f"Id:   u1\nName: bear\n\n{summary}Rpm:    1\nTotal:  1\n\n"
    )


def test_what_the_server_does_not_offer_is_told_by_it(call: Command, server: Server) -> None:
    server.answers["v2/content/orphans/"] = httpx.Response(501, json={"error_message": "not offered: no content"})
    printed = call("orphan", "list")
    assert (printed.code, printed.out.splitlines()[-1]) == (69, "not offered: no content")


def test_the_map_has_every_section_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--map"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "login: Log in, for seven days." in lines
    assert lines.index("repo: Create, list, change, sync, publish and remove repositories.") < lines.index(
        "  tasks: List, inspect and cancel the tasks of a repository."
    )
    assert any(line.startswith("    details: ") for line in lines)
    assert [line for line in lines if len(line) > 80] == []


def test_a_password_may_be_given_in_one_way_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-u", "jo", "-p", "x", "--password-file", "y", "tasks", "list"]) == 64
    assert "Give --password or --password-file, not both." in capsys.readouterr().err


def verbose(tmp_path: Path, answer: Answer, *arguments: str) -> int:
    def make(app: App) -> Client:
        config = client_of(tmp_path, answer)._config
        return Client(config, transport=httpx.MockTransport(answer), verbosity=app.verbosity)

    return run(arguments, App({}, make_client=make))


def test_verbose_output_names_each_request_and_no_login(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Answer = lambda request: httpx.Response(200, json=[], headers={"Correlation-ID": "c1"})
    assert verbose(tmp_path, answer, "-v", "tasks", "list", "--state", "running") == 0
    out, err = capsys.readouterr()
    assert out == f"{TASKS}No tasks found\n\n"
    [line] = err.splitlines()
    request = r"GET http://pulp\.test/pulp/api/v2/tasks/\?state=running: 200 after \d\.\d{3} s \(correlation id c1\)"
    assert re.fullmatch(r"[-0-9T:]{19}Z " + request, line)
    assert verbose(tmp_path, answer, "-vv", "tasks", "list", "--state", "running") == 0
    assert capsys.readouterr().err.splitlines()[1:] == ["< []"]


def test_verbose_output_of_a_fault_has_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Answer = lambda request: httpx.Response(200, json={"no": "report"})
    assert verbose(tmp_path, answer, "-v", "tasks", "details", "--task-id", ID) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


# Pulp 2's server names the reason of a 401 by a code; its client has words for each.
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("authentication_failed", "Authentication Failed\n"),
        ("invalid_username_or_password", "Invalid Username or Password\n"),
        ("permission_denied", "Insufficient Permissions: no"),
    ],
)
def test_each_reason_of_a_401_has_pulps_words(call: Command, server: Server, code: str, told: str) -> None:
    body = {"auth_error_code": code, "error_message": "no"}
    server.answers[f"v2/tasks/{ID}/"] = httpx.Response(401, json=body)
    printed = call("tasks", "cancel", "--task-id", ID)
    assert (printed.code, printed.out) == (77, "")
    assert printed.err.startswith(told)


@pytest.mark.parametrize("text", ["", " ", " a", "a\n", "a\x1b", "a" * 201])
@pytest.mark.parametrize(
    "words",
    [
        ("repo", "show"),
        ("repo", "create"),
        ("repo", "sync", "run"),
        ("repo", "tasks", "list"),
        ("repo", "repair"),
        ("rpm", "repo", "create"),
        ("rpm", "repo", "delete"),
        ("rpm", "repo", "publish", "status"),
    ],
)
def test_what_is_no_repository_is_refused_before_any_request(
    call: Command, server: Server, words: tuple[str, ...], text: str
) -> None:
    printed = call(*words, "--repo-id", text)
    assert (printed.code, printed.out, server.asked) == (64, "", [])
    assert "is not the id of a repository: 1 to 200 characters" in printed.err
    assert "\x1b" not in printed.err


def test_paths_of_the_server_are_written_in_one_file_only() -> None:
    source = Path(api_path.__code__.co_filename)
    found = {
        path.name
        for path in source.parent.glob("*.py")
        if re.search(r"[\"']/pulp/api/|f\"/pulp", path.read_text(encoding="utf-8"))
    }
    assert found == {source.name}


@pytest.mark.parametrize(
    ("code", "told"), [(0, "Task Succeeded"), (1, "Task Failed"), (3, "Task Canceled"), (4, None), (130, None)]
)
def test_how_a_sync_ended_is_said_in_pulps_words_and_by_the_exit_code(
    call: Command, monkeypatch: pytest.MonkeyPatch, code: int, told: str | None
) -> None:
    monkeypatch.setattr("pulp_admin.watching.follow", lambda *_: code)
    printed = call("rpm", "repo", "sync", "run", "--repo-id", "zoo")
    leave = "This command may be exited by pressing ctrl+c without affecting the actual\noperation on the server.\n\n"
    assert (printed.code, printed.err) == (code, "")
    assert printed.out == (
        f"{RULE}                     Synchronizing Repository [zoo]\n{RULE}\n{leave}"
        + ("" if told is None else f"\n{told}\n\n")
    )
    assert call("rpm", "repo", "sync", "run", "--repo-id", "zoo", "--output", "json").out == ""


@pytest.mark.parametrize(("operation", "title"), [("sync", "Synchronizing"), ("publish", "Publishing")])
def test_force_full_of_pulp_2_21_is_taken_and_told_in_its_words(
    call: Command, server: Server, monkeypatch: pytest.MonkeyPatch, operation: str, title: str
) -> None:
    monkeypatch.setattr("pulp_admin.watching.follow", lambda *_: 0)
    printed = call("rpm", "repo", operation, "run", "--repo-id", "zoo", "--force-full")
    assert (printed.code, printed.err) == (0, "")
    said = f"The following {operation} configuration options will be used:\n\nForce Full:  True\n\n"
    assert f"{title} Repository [zoo]\n{RULE}\n{said}" in printed.out
    assert [method for method, _ in server.asked if method == "POST"] == ["POST"]


def test_messages_of_failure_may_go_where_pulp_has_them(
    call: Command, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"resources": {"resource_id": ID}, "error_message": "no"}
    server.answers[f"v2/tasks/{ID}/"] = httpx.Response(404, json=body)
    told = f"The following resource(s) could not be found:\n\n  {ID} (resource_id)\n\n\n"
    usual = call("tasks", "details", "--task-id", ID)
    assert (usual.code, usual.err, told in usual.out) == (65, told, False)
    monkeypatch.setenv("PULP_ADMIN_ERRORS", "stdout")
    as_pulp = call("tasks", "details", "--task-id", ID)
    assert (as_pulp.code, as_pulp.err) == (65, "")
    assert as_pulp.out.endswith(f"+\n\n{told}")
