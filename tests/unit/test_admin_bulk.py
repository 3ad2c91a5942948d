"""`tasks rerun`, and `tasks cancel --all`, against a server that is one object."""

import json
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.admin import admin

V2, V3 = "/pulp/api/v2/tasks/", "/pulp/api/v3/tasks/"


def id_of(number: int) -> str:
    return str(UUID(int=number))


def report(number: int, state: str = "error", operation: str = "sync") -> dict[str, Any]:
    """A task as the v2 list shows it."""
    return {
        "task_id": id_of(number),
        "state": state,
        "cancelling": False,
        "task_type": operation,
        "tags": [f"pulp:repository:r{number}", f"pulp:action:{operation}"],
        "principal_login": "ann",
        "queue": "default",
        "submit_time": "2026-11-28T12:00:00Z",
        "start_time": None,
        "finish_time": None,
        "worker_name": None,
        "progress": {},
        "error": None,
    }


class Server:
    """Tasks, and the outcomes of requests for them."""

    def __init__(self, *tasks: dict[str, Any], **answers: tuple[int, dict[str, Any]]) -> None:
        self.tasks = {task["task_id"]: task for task in tasks}
        self.answers = {id_of(int(name.removeprefix("task"))): answer for name, answer in answers.items()}
        """What a task does not let be done."""
        self.run_again: set[str] = set()
        self.listed: list[httpx.QueryParams] = []
        self.asked: list[tuple[str, Any]] = []
        """(task, body) of each request that changes something."""
        self.keys: list[str] = []
        self.away_after: int | None = None
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path, method = request.url.path, request.method
        if self.away_after is not None and len(self.asked) >= self.away_after:
            raise httpx.ConnectError("[Errno 111] Connection refused")
        if (method, path) == ("GET", V2):
            self.listed.append(request.url.params)
            return httpx.Response(200, json=self._matching(request.url.params))
        if path == "/pulp/api/v3/operations/":
            return httpx.Response(200, json={"results": [{"name": "sync"}], "next": None})
        if path == "/pulp/api/v3/operations/sync/":  # which declares no arguments
            return httpx.Response(200, json={"name": "sync", "arguments": None, "parameters": None})
        task_id = path.removesuffix("rerun/").rstrip("/").rsplit("/", 1)[-1]
        if method == "GET":
            return httpx.Response(200, json=self.tasks[task_id])
        self.asked.append((task_id, json.loads(request.content)))
        status, body = self.answers.get(task_id, (0, {}))
        if status:
            return httpx.Response(status, json=body, headers={"Retry-After": "0"})
        if method == "PATCH":
            return httpx.Response(200, json={"state": "canceled"}, headers={"Pulp-Position": "0:7"})
        self.keys.append(request.headers["idempotency-key"])
        new_id = id_of(UUID(task_id).int + 1000)
        return httpx.Response(202, json={"task": f"{V3}{new_id}/"}, headers={"Pulp-Position": f"0:{len(self.keys)}"})

    def _matching(self, params: httpx.QueryParams) -> list[dict[str, Any]]:
        found = [task for task in self.tasks.values() if task["state"] in params.get_list("state")]
        if "operation" in params:
            found = [task for task in found if task["task_type"] in params.get_list("operation")]
        if "has_reruns" in params:
            wanted = params["has_reruns"] == "true"
            found = [task for task in found if (task["task_id"] in self.run_again) is wanted]
        return found[: int(params.get("limit", len(found)))]

    @property
    def done(self) -> list[str]:
        """The tasks that were requested to change, by number."""
        return sorted(task_id for task_id, _ in self.asked)


def failed(count: int) -> list[dict[str, Any]]:
    return [report(number) for number in range(1, count + 1)]


def waiting(count: int) -> list[dict[str, Any]]:
    return [report(number, "waiting") for number in range(1, count + 1)]


Capture = pytest.CaptureFixture[str]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answers the next question with this text."""

    def answering(text: str) -> None:
        monkeypatch.setattr("pulp_console.asking.can_ask", lambda: True)
        monkeypatch.setattr("click.termui.visible_prompt_func", lambda _prompt: text)

    return answering


# One task.


def test_a_rerun_says_what_a_submission_says(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*failed(1))
    assert admin(tmp_path, server, "tasks", "rerun", "--task-id", id_of(1)) == 0
    assert server.asked == [(id_of(1), {})]
    assert capsys.readouterr().out == (
        f'Request accepted\n\ncheck status of task {id_of(1001)} with "pulp-admin tasks details"\n'
    )
    assert admin(tmp_path, server, "tasks", "rerun", "--task-id", id_of(1), "--output", "json") == 0
    assert json.loads(capsys.readouterr().out) == {"task_id": id_of(1001), "rerun_of": id_of(1)}
    assert len(set(server.keys)) == 2  # two requests mean two tasks


def test_a_rerun_with_changes(tmp_path: Path) -> None:
    server = Server(*failed(1))
    changes = ["--argument", "feed=http://b/", "--argument", "force:=true", "--argument", "proxy:=null"]
    changes += ["--to-queue", "slow", "--priority", "0", "--timeout", "60"]
    assert admin(tmp_path, server, "tasks", "rerun", "--task-id", id_of(1), *changes) == 0
    arguments = {"feed": "http://b/", "force": True, "proxy": None}
    assert server.asked[0][1] == {"arguments": arguments, "queue": "slow", "priority": 0, "timeout_seconds": 60}


def test_a_rerun_that_is_refused(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*failed(1), task1=(409, {"detail": "task 1 has not ended: wait for its end"}))
    assert admin(tmp_path, server, "tasks", "rerun", "--task-id", id_of(1)) == 65
    assert capsys.readouterr().err == "task 1 has not ended: wait for its end\n"


def test_several_named_tasks_are_not_asked_about(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*failed(2))
    named = ["--task-id", id_of(2), "--task-id", f" {V3}{id_of(1)}/ ", "--task-id", id_of(2)]
    assert admin(tmp_path, server, "tasks", "rerun", *named) == 0
    assert [task_id for task_id, _ in server.asked] == [id_of(2), id_of(1)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["TASK", "RUN", "AGAIN", "AS", "OPERATION"]
    assert lines[1].split() == [id_of(2), id_of(1002), "sync"]
    assert lines[-1] == "2 tasks run again."


# Many: the choice.


def test_all_means_what_has_failed_and_was_not_run_again(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*failed(3), report(4, "finished"), report(5, "canceled"), report(6, "waiting"))
    server.run_again = {id_of(2)}
    assert admin(tmp_path, server, "tasks", "rerun", "--all", "--operation", "sync", "--yes") == 0
    assert [task_id for task_id, _ in server.asked] == [id_of(1), id_of(3)]
    assert "1 task that was run again already was left out; --again takes them too." in capsys.readouterr().err
    assert admin(tmp_path, server, "tasks", "rerun", "--all", "--operation", "sync", "--yes", "--again") == 0
    assert server.done.count(id_of(2)) == 1


def test_the_filters_are_those_of_the_list(tmp_path: Path) -> None:
    server = Server()
    filters = ["--state", "failed,cancelled", "--operation", "sync", "--tag", "a", "--tag", "b", "--queue", "q"]
    filters += ["--resource", "repository:zoo", "--worker", "w1", "--who", "ann", "--limit", "5"]
    filters += ["--since", "2026-11-24T12:00:00Z", "--until", "2026-11-25T12:00:00+02:00"]
    assert admin(tmp_path, server, "tasks", "rerun", "--all", *filters, "--yes", "--again") == 0
    assert sorted(server.listed[0].multi_items()) == [
        ("limit", "5"),
        ("operation", "sync"),
        ("queue", "q"),
        ("resource", "repository:zoo"),
        ("since", "2026-11-24T12:00:00Z"),
        ("state", "canceled"),
        ("state", "error"),
        ("tag", "a"),
        ("tag", "b"),
        ("until", "2026-11-25T10:00:00Z"),
        ("user", "ann"),
        ("worker", "w1"),
    ]


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        ("rerun", [], "The following options are required but were not specified:\n  --task-id\n"),
        ("cancel", [], "The following options are required but were not specified:\n  --task-id\n"),
        ("cancel", ["--task-id", id_of(1), "--all"], "--task-id names tasks, and --all chooses them"),
        ("rerun", ["--state", "error"], "filters choose among all tasks: add --all"),
        ("cancel", ["--limit", "3", "--task-id", id_of(1)], "filters choose among all tasks: add --all"),
        ("cancel", ["--all", "--state", "error"], "--state Error: such a task has ended, there is nothing to cancel."),
        ("rerun", ["--all", "--state", "running"], "--state Running: such a task has not ended"),
        ("rerun", ["--all", "--operation", "sync"], "Run again 2 tasks (operation sync)? There is no terminal"),
        ("rerun", ["--all"], "any task that has failed. Run again 2 tasks? There is no terminal to ask on."),
        ("rerun", ["--all", "--yes"], "any task that has failed. --yes is not enough for that"),
        ("rerun", ["--task-id", "nonsense"], "'nonsense' is not the id of a task"),
    ],
)
def test_command_lines_that_are_refused(
    tmp_path: Path, capsys: Capture, command: str, arguments: list[str], told: str
) -> None:
    server = Server(*failed(2))
    assert admin(tmp_path, server, "tasks", command, *arguments) == 64
    assert told in capsys.readouterr().err
    assert server.asked == []


def test_an_operation_that_does_not_exist_is_told(tmp_path: Path, capsys: Capture) -> None:
    assert admin(tmp_path, Server(), "tasks", "cancel", "--all", "--operation", "snyc", "--yes") == 65
    assert "No operation is named 'snyc'. Did you mean 'sync'?" in capsys.readouterr().err


def test_nothing_that_matches_is_nothing_to_ask_about(tmp_path: Path, capsys: Capture) -> None:
    for command, word in (("cancel", "cancelled"), ("rerun", "run again")):
        assert admin(tmp_path, Server(), "tasks", command, "--all", "--operation", "sync") == 0
        assert capsys.readouterr().out == f"0 tasks {word}.\n"


# Many: the dry run and the question.


@pytest.mark.parametrize(("command", "tasks", "words"), [
    ("cancel", waiting(2), "2 tasks would be cancelled."), ("rerun", failed(2), "2 tasks would be run again.")
])  # fmt: skip
def test_a_dry_run_shows_and_does_nothing(
    tmp_path: Path, capsys: Capture, command: str, tasks: list[dict[str, Any]], words: str
) -> None:
    server = Server(*tasks)
    assert admin(tmp_path, server, "tasks", command, "--all", "--operation", "sync", "--dry-run") == 0
    shown = capsys.readouterr()
    header, first, second = shown.out.splitlines()
    assert header.split()[:7] == ["ID", "STATE", "OPERATION", "RESOURCES", "WHO", "QUEUE", "SUBMITTED"]
    assert (first.split()[0], second.split()[0]) == (id_of(1), id_of(2))
    assert first.split()[2:7] == ["sync", "repository:r1", "ann", "default", "2026-11-28T12:00:00Z"]
    assert shown.err.endswith(f"{words} Nothing was done: this is a dry run.\n")
    assert (
        admin(tmp_path, server, "tasks", command, "--all", "--operation", "sync", "--dry-run", "--output", "json") == 0
    )
    planned = json.loads(capsys.readouterr().out)
    assert (planned["dry_run"], planned["count"]) == (True, 2)
    assert planned["tasks"][0] == {
        "task_id": id_of(1), "operation": "sync", "state": tasks[0]["state"], "outcome": None,
    }  # fmt: skip
    assert server.asked == []


@pytest.mark.parametrize(("answer", "code", "count"), [("y", 0, 2), ("n", 1, 0), ("", 1, 0)])
def test_a_question_with_the_count(
    tmp_path: Path, capsys: Capture, terminal: Any, answer: str, code: int, count: int
) -> None:
    terminal(answer)
    server = Server(*waiting(2))
    assert admin(tmp_path, server, "tasks", "cancel", "--all", "--operation", "sync") == code
    told = capsys.readouterr()
    assert "2 tasks: sync 2\n" in told.err
    assert ("Nothing was done." in told.err) is bool(code)
    assert len(server.asked) == count


@pytest.mark.parametrize(
    ("answer", "code", "count"), [("1,500", 0, 1500), ("1500", 0, 1500), ("y", 1, 0), ("15", 1, 0)]
)
def test_without_a_filter_the_number_has_to_be_typed(
    tmp_path: Path, terminal: Any, answer: str, code: int, count: int
) -> None:
    terminal(answer)
    server = Server(*waiting(1500))
    assert admin(tmp_path, server, "tasks", "cancel", "--all") == code
    assert len(server.asked) == count


# Many: what becomes of them.


def test_each_is_cancelled_once_with_the_reason(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*waiting(40), report(41, "running"), report(42, "finished"))
    assert admin(tmp_path, server, "tasks", "cancel", "--all", "--operation", "sync", "--reason", "why", "--yes") == 0
    assert server.done == [id_of(number) for number in range(1, 42)]
    assert {str(body) for _, body in server.asked} == {str({"state": "canceled", "reason": "why"})}
    assert capsys.readouterr().out == "41 tasks cancelled.\n"
    assert json.loads((tmp_path / "positions.json").read_text()) == {"http://pulp.test": {"0": 7}}


def test_what_cannot_be_cancelled_is_listed_at_the_end(tmp_path: Path, capsys: Capture) -> None:
    server = Server(
        *waiting(4),
        task1=(409, {"state": "running", "detail": f"Cancel Not Implemented for Task: {id_of(1)}"}),
        task2=(409, {"state": "completed"}),
        task3=(403, {"detail": "user jo may cancel own tasks only"}),
    )
    assert admin(tmp_path, server, "tasks", "cancel", "--all", "--state", "waiting", "--yes") == 69
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 task cancelled, 1 had ended already, 2 could not be:"
    assert lines[1].split() == ["TASK", "OPERATION", "WHY"]
    assert lines[2].split(maxsplit=2) == [id_of(1), "sync", f"Cancel Not Implemented for Task: {id_of(1)}"]
    assert lines[3].split(maxsplit=2) == [
        id_of(3), "sync", "Insufficient Permissions: user jo may cancel own tasks only",
    ]  # fmt: skip
    assert len(lines) == 4


def test_a_task_that_ended_meanwhile_is_no_failure(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*waiting(2), task1=(409, {"state": "completed"}))
    arguments = ["tasks", "cancel", "--all", "--state", "waiting", "--yes", "--output", "json"]
    assert admin(tmp_path, server, *arguments) == 0
    assert json.loads(capsys.readouterr().out) == {
        "dry_run": False,
        "count": 2,
        "tasks": [
            {"task_id": id_of(1), "outcome": "ended", "reason": "it had ended: Successful", "state": "finished"},
            {"task_id": id_of(2), "outcome": "done", "reason": None, "state": "canceled"},
        ],
    }


def test_tasks_that_take_a_moment_to_stop_are_told(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*waiting(2), task1=(200, {"state": "canceling"}))
    assert admin(tmp_path, server, "tasks", "cancel", "--all", "--state", "waiting", "--yes") == 0
    told = capsys.readouterr()
    assert told.out == "2 tasks cancelled.\n"
    assert "1 task of them will have stopped in a moment" in told.err


def test_reruns_come_in_the_order_of_the_first_runs_each_under_a_key_of_its_own(tmp_path: Path) -> None:
    server = Server(*failed(30))
    assert admin(tmp_path, server, "tasks", "rerun", "--all", "--state", "error", "--yes") == 0
    assert [task_id for task_id, _ in server.asked] == [id_of(number) for number in range(1, 31)]
    assert len(set(server.keys)) == 30


def test_a_request_whose_answer_is_lost_makes_one_task(tmp_path: Path) -> None:
    server = Server(*failed(2))
    seen: Counter[str] = Counter()

    def answer(request: httpx.Request) -> httpx.Response:
        key = request.headers.get("idempotency-key")
        if key is not None:
            seen[key] += 1
            if seen[key] == 1:
                return httpx.Response(503, json={"detail": "away"}, headers={"Retry-After": "0"})
        return server(request)

    assert admin(tmp_path, answer, "tasks", "rerun", "--all", "--state", "error", "--yes") == 0
    assert sorted(seen.values()) == [2, 2]


def test_what_could_not_be_run_again_is_listed_and_the_rest_goes_on(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*failed(3), task2=(400, {"detail": "unknown operation 'sync'"}))
    assert admin(tmp_path, server, "tasks", "rerun", "--all", "--state", "error", "--yes") == 69
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [id_of(1), id_of(3)]
    assert lines[4] == "2 tasks run again, 1 could not be:"
    assert lines[6].split(maxsplit=2) == [id_of(2), "sync", "unknown operation 'sync'"]


def test_a_server_that_goes_away_is_not_asked_for_the_rest(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*failed(5))
    server.away_after = 2
    arguments = ["tasks", "rerun", "--all", "--state", "error", "--yes", "--output", "json"]
    assert admin(tmp_path, server, *arguments) == 78
    outcomes = [task["outcome"] for task in json.loads(capsys.readouterr().out)["tasks"]]
    assert outcomes == ["done", "done", "failed", "untried", "untried"]


def test_what_takes_a_while_shows_how_far_it_is(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 10_000, 5))  # each reading of the clock is five seconds later than the last
    monkeypatch.setattr("pulp_admin.bulk.time", SimpleNamespace(monotonic=lambda: float(next(now))))
    server = Server(*failed(3))
    assert admin(tmp_path, server, "tasks", "rerun", "--all", "--state", "error", "--yes") == 0
    progress = [line for line in capsys.readouterr().err.splitlines() if " of 3" in line]
    assert progress[0] == "1 of 3"


def test_ctrl_c_leaves_the_rest_and_says_what_was_done(tmp_path: Path, capsys: Capture) -> None:
    server = Server(*failed(4))

    def answer(request: httpx.Request) -> httpx.Response:
        if len(server.asked) == 2:
            raise KeyboardInterrupt
        return server(request)

    arguments = ["tasks", "rerun", "--all", "--state", "error", "--yes", "--output", "json"]
    assert admin(tmp_path, answer, *arguments) == 130
    outcomes = [(task["outcome"], task["reason"]) for task in json.loads(capsys.readouterr().out)["tasks"]]
    assert outcomes == [
        ("done", None), ("done", None), ("untried", "interrupted before its answer came"), ("untried", "not tried"),
    ]  # fmt: skip


# Following, and what other commands show.


@pytest.mark.parametrize(
    ("ends", "code"), [([0], 0), ([1], 1), ([0, 0], 0), ([0, 4, 3], 3), ([4, 1, 3], 1), ([0, 130, 1], 130)]
)
def test_the_exit_code_of_following_is_that_of_the_worst_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: list[int], code: int
) -> None:
    followed: list[str] = []

    def follow(_client: object, task_id: str, _output: str) -> int:
        followed.append(task_id)
        return ends[len(followed) - 1]

    monkeypatch.setattr("pulp_admin.watching.follow", follow)
    named = [part for number in range(1, len(ends) + 1) for part in ("--task-id", id_of(number))]
    assert admin(tmp_path, Server(*failed(len(ends))), "tasks", "rerun", *named, "--follow") == code
    wanted = [id_of(1000 + number) for number in range(1, len(ends) + 1)]
    assert followed == (wanted[:2] if code == 130 else wanted)


def test_what_was_run_again_is_followed_though_others_were_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[str] = []

    def follow(_client: object, task_id: str, _output: str) -> int:
        followed.append(task_id)
        return 1

    monkeypatch.setattr("pulp_admin.watching.follow", follow)
    server = Server(*failed(2), task1=(400, {"detail": "unknown operation 'sync'"}))
    assert admin(tmp_path, server, "tasks", "rerun", "--all", "--state", "error", "--yes", "--follow") == 69
    assert followed == [id_of(1002)]


def test_details_tell_of_reruns_beside_the_guides_page(tmp_path: Path, capsys: Capture) -> None:
    task = {
        **report(1), "result": None, "call_request_tags": [], "call_request_id": id_of(1), "exception": None,
        "traceback": None, "rerun_of": id_of(7), "reruns": [id_of(8), id_of(9)],
    }  # fmt: skip
    without = {**task, "rerun_of": None, "reruns": []}
    assert admin(tmp_path, Server(without), "tasks", "details", "--task-id", id_of(1)) == 0
    guide = capsys.readouterr()
    assert admin(tmp_path, Server(task), "tasks", "details", "--task-id", id_of(1)) == 0
    linked = capsys.readouterr()
    assert (linked.out, guide.err) == (guide.out, "")
    sentences = f"It runs task {id_of(7)} again. It was run again as task {id_of(8)}, {id_of(9)}."
    assert linked.err == f"{sentences}\n"
    assert admin(tmp_path, Server(task), "tasks", "details", "--task-id", id_of(1), "--output", "wide") == 0
    assert capsys.readouterr().err == f"{sentences}\n"


def test_the_history_tells_which_task_was_run_again(tmp_path: Path, capsys: Capture) -> None:
    event = {"data": {"operation": "sync"}, "causationid": id_of(7)}
    entry = {
        "partition": 0, "offset": 5, "time": "2026-11-28T12:00:00.000000Z", "actor": "user:ann", "effect": "applied",
        "type": "org.pulpproject.task.accepted.v1", "event_id": id_of(3), "event": event,
    }  # fmt: skip

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"results": [entry], "next": None})

    assert admin(tmp_path, answer, "tasks", "history", "--task-id", id_of(1)) == 0
    assert f"sync, rerun of {id_of(7)}" in " ".join(capsys.readouterr().out.split())


# Quotas.


class Busy:
    """A server that refuses this many changing requests because of a quota."""

    def __init__(self, server: Server, times: int, retry_after: str) -> None:
        self.server, self.times, self.retry_after = server, times, retry_after
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            if request.method != "GET" and self.times:
                self.times -= 1
                told = {"detail": "user jo has used the quota 'rate': 1 submissions a second"}
                return httpx.Response(429, json=told, headers={"Retry-After": self.retry_after})
        return self.server(request)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client's pauses, which are skipped."""
    found: list[float] = []
    monkeypatch.setattr("pulp_admin.client.time.sleep", found.append)
    return found


def test_many_tasks_wait_for_a_quota_and_say_so_once(tmp_path: Path, capsys: Capture, slept: list[float]) -> None:
    server = Server(*failed(5))
    assert admin(tmp_path, Busy(server, 9, "30"), "tasks", "rerun", "--all", "--state", "error", "--yes") == 0
    assert len(server.keys) == 5
    assert slept == [30.0] * 9
    said = capsys.readouterr().err
    assert said.count("The server is asked too often: user jo has used the quota 'rate'") == 1


def test_one_task_does_not_wait_long_for_a_quota(tmp_path: Path, capsys: Capture, slept: list[float]) -> None:
    server = Server(*failed(1))
    assert admin(tmp_path, Busy(server, 1, "2"), "tasks", "rerun", "--task-id", id_of(1)) == 0
    assert slept == [2.0]
    assert admin(tmp_path, Busy(server, 1, "30"), "tasks", "rerun", "--task-id", id_of(1)) == 75
    assert "quota 'rate'" in capsys.readouterr().err
    assert slept == [2.0]


def test_a_server_that_always_refuses_ends_the_command(tmp_path: Path, slept: list[float]) -> None:
    assert admin(tmp_path, Busy(Server(*failed(1)), 10_000, "0"), "tasks", "rerun", "--task-id", id_of(1)) == 75
    assert len(slept) <= 10
