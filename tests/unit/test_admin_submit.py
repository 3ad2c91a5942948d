"""`pulp-admin submit` against a server that is one function."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.admin import admin
from tests.unit.test_admin_watch import task

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"


def submitted(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """The body that was sent."""
    bodies: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404, json={"detail": "No Operation matches the given query."})
        bodies.append(json.loads(request.content))
        return httpx.Response(202, json={"task": f"/pulp/api/v3/tasks/{ID}/"})

    assert admin(tmp_path, answer, "submit", "sync", *arguments) == 0
    [body] = bodies
    return body


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("repository:zoo", {"type": "repository", "id": "zoo", "access": "exclusive"}),
        ("repository:zoo:shared", {"type": "repository", "id": "zoo", "access": "shared"}),
        ("repository:a:b:exclusive", {"type": "repository", "id": "a:b", "access": "exclusive"}),
    ],
)
def test_a_resource(tmp_path: Path, given: str, sent: dict[str, str]) -> None:
    assert submitted(tmp_path, "--resource", given)["resources"] == [sent]


def test_arguments_are_texts_or_json(tmp_path: Path) -> None:
    body = submitted(tmp_path, "--arguments", '{"a": [1], "b": 0}', "-a", "b=2", "-a", "c:=2", "-a", "d=e=f")
    assert body["arguments"] == {"a": [1], "b": "2", "c": 2, "d": "e=f"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--resource", "zoo"], "--resource zoo: TYPE:ID or TYPE:ID:shared is expected"),
        (["--resource", "repository:zoo:write"], "unknown access 'write', it is exclusive or shared"),
        (["--arguments", "[1]"], "--arguments: a JSON object is expected, not list"),
        (["--arguments", "x{"], "--arguments: this is not JSON: Expecting value"),
        (["--arguments", "@/no/such/file"], "--arguments: the file /no/such/file cannot be read: No such file"),
        (["--argument", "repo_id"], "--argument repo_id: NAME=TEXT or NAME:=JSON is expected"),
        (["--priority", "1001"], "1001 is not in the range"),
        (["--depends-on", "../content/orphans"], "is not the id of a task"),
        (["--parent", "nonsense"], "is not the id of a task"),
    ],
)
def test_bad_input_is_told_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was sent")

    assert admin(tmp_path, answer, "submit", "sync", *arguments) == 64
    assert told in capsys.readouterr().err


def test_a_submission_is_sent_again_under_one_key_until_its_answer_is_known(tmp_path: Path) -> None:
    keys = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404, json={"detail": "No Operation matches the given query."})
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            return httpx.Response(503, json={"detail": "away"}, headers={"Retry-After": "0"})
        return httpx.Response(202, json={"task": f"/pulp/api/v3/tasks/{ID}/"})

    assert admin(tmp_path, answer, "submit", "sync", "--argument", "repo_id=zoo") == 0
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_relatives_are_named_in_every_usual_form(tmp_path: Path) -> None:
    href = f"https://pulp.test/pulp/api/v3/tasks/{ID}/"
    body = submitted(tmp_path, "--depends-on", ID.upper(), "--depends-on", href, "--parent", f"prn:core.task:{ID}")
    assert (body["depends_on"], body["parent_task"]) == ([ID, ID], ID)


def test_a_submission_that_is_watched_prints_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events/"):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=b"")
        if request.method == "POST":
            return httpx.Response(202, json={"task": f"/pulp/api/v3/tasks/{ID}/"})
        return httpx.Response(200, json=task("finished"))

    assert admin(tmp_path, answer, "orphan", "remove", "--all", "--watch", "--output", "json") == 0
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first, last["state"]) == ({"task_id": ID}, "finished")
