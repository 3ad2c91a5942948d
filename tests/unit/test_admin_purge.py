"""`tasks purge`, and `--purged` of commands that show tasks: the requests to the server, and the output."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.admin import Answer, admin

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"


def noting(asked: list[httpx.Request], status: int = 202) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.method == "GET":
            return httpx.Response(200, json=[])
        if request.method == "DELETE":
            return httpx.Response(status)
        return httpx.Response(status, json={"task": f"/pulp/api/v3/tasks/{ID}/"})

    return answer


@pytest.mark.parametrize(
    ("arguments", "states"),
    [
        (["--all"], ["completed", "failed", "canceled", "skipped"]),
        (["-a"], ["completed", "failed", "canceled", "skipped"]),
        (["--state", "successful,failed"], ["completed", "failed"]),
        (["-s", "finished", "-s", "skipped"], ["completed", "skipped"]),
    ],
)
def test_the_states_that_are_purged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], states: list[str]
) -> None:
    asked: list[httpx.Request] = []
    assert admin(tmp_path, noting(asked), "tasks", "purge", *arguments) == 0
    [request] = asked
    assert (request.method, request.url.path) == ("POST", "/pulp/api/v3/tasks/purge/")
    body = json.loads(request.content)
    assert body["states"] == states
    age = datetime.now(UTC) - datetime.fromisoformat(body["finished_before"])
    assert timedelta(0) <= age < timedelta(minutes=5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip() == "Purge Completed Tasks"
    assert lines[4:] == ["Task purging is successfully initiated.", ""]


def test_the_age_that_is_purged(tmp_path: Path) -> None:
    asked: list[httpx.Request] = []
    assert admin(tmp_path, noting(asked), "tasks", "purge", "--all", "--before", "2026-11-24T12:00:00+02:00") == 0
    assert json.loads(asked[0].content)["finished_before"] == "2026-11-24T10:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Give --all, --state or --task-id."),
        (["--all", "--task-id", ID], "Give --task-id alone."),
        (["--state", "running"], "--state Running: such a task has not ended, and is never purged."),
    ],
)
def test_what_is_refused_before_the_server_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    asked: list[httpx.Request] = []
    assert admin(tmp_path, noting(asked), "tasks", "purge", *arguments) == 64
    assert told in " ".join(capsys.readouterr().err.split())
    assert asked == []


def test_one_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[httpx.Request] = []
    assert admin(tmp_path, noting(asked, 204), "tasks", "purge", "--task-id", ID) == 0
    assert [(request.method, request.url.path) for request in asked] == [("DELETE", f"/pulp/api/v3/tasks/{ID}/")]
    assert f"Task {ID} is purged." in capsys.readouterr().out
    assert admin(tmp_path, noting(asked, 409), "tasks", "purge", "--task-id", ID) == 65
    assert capsys.readouterr().err.startswith(f"Task {ID} has not ended: wait for its end, or cancel it")
    assert admin(tmp_path, noting(asked, 404), "tasks", "purge", "--task-id", ID) == 65
    said = " ".join(capsys.readouterr().err.split())
    assert said == f"There is no task {ID}, or it is purged already: tasks details --purged shows it then."


def test_purged_tasks_are_listed_in_every_state(tmp_path: Path) -> None:
    asked: list[httpx.Request] = []
    assert admin(tmp_path, noting(asked), "tasks", "list", "--purged") == 0
    assert asked[0].url.params["purged"] == "true"
    assert set(asked[0].url.params.get_list("state")) >= {"finished", "error", "canceled", "skipped"}


def test_all_and_states_are_refused_as_in_pulp_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[httpx.Request] = []
    assert admin(tmp_path, noting(asked), "tasks", "purge", "--all", "--state", "finished") == 0
    assert "These arguments cannot be used together" in capsys.readouterr().out
    assert admin(tmp_path, noting(asked), "--output", "json", "tasks", "purge", "--all", "--state", "finished") == 64
    assert asked == []


@pytest.mark.parametrize(
    ("arguments", "sees_purged"),
    [
        (["details", "--purged", "--task-id"], True),
        (["history", "--task-id"], True),
        (["details", "--task-id"], False),
        (["cancel", "--task-id"], False),
    ],
)
def test_the_first_digits_of_a_purged_task_are_enough_where_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sees_purged: bool
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/pulp/api/v3/tasks/":
            asked.append(request.url.path)
            return httpx.Response(404, json={"detail": "Not found."})
        row = {"pulp_href": f"/pulp/api/v3/tasks/{ID}/", "name": "sync", "state": "completed"}
        return httpx.Response(200, json={"results": [row] if request.url.params.get("purged") == "true" else []})

    assert admin(tmp_path, answer, "tasks", *arguments, ID[:8]) == 65
    assert any(ID in path for path in asked) is sees_purged
    assert ("The id of no task begins with" in capsys.readouterr().err) is not sees_purged


def test_details_of_a_purged_task_say_who_purged_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[httpx.Request] = []
    report: dict[str, object] = {
        "task_id": ID,
        "call_request_id": ID,
        "exception": None,
        "traceback": None,
        "state": "finished",
        "call_request_tags": [],
        "tags": [],
        "start_time": None,
        "finish_time": None,
        "result": None,
        "progress": {},
        "purged_at": "2026-11-24T10:00:00Z",
        "purged_by": "user:ann",
    }

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=report)

    assert admin(tmp_path, answer, "tasks", "details", "--task-id", ID, "--purged") == 0
    assert dict(asked[0].url.params) == {"purged": "true"}
    assert "It was purged at 2026-11-24T10:00:00Z for user:ann." in capsys.readouterr().err
