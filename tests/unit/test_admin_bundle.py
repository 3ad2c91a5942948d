"""`pulp-admin tasks bundle`: what the file has, and what it leaves out."""

import json
import resource
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulp_admin.redacting import without_secrets

from tests.support import documented
from tests.support.admin import admin

TASK = "e239ae4f-7fad-4004-bfb6-8e06f17d22ea"
OTHER = "e239ae4f-7fad-4004-bfb6-8e06f17d22eb"
GROUP = "6f0b1a52-3f0e-4b55-9d5a-0e6a3a3a2c11"
CREATED, EARLIER, LATER = (f"2026-11-24T12:00:0{second}.000000Z" for second in (5, 1, 9))


def task(task_id: str = TASK, **changed: Any) -> dict[str, Any]:
    return {
        **{"pulp_href": f"/pulp/api/v3/tasks/{task_id}/", "name": "sync", "state": "failed", "pulp_created": CREATED},
        **{"finished_at": LATER, "worker_name": "w1", "task_group": f"/pulp/api/v3/task-groups/{GROUP}/"},
        **{"depends_on": [f"/pulp/api/v3/tasks/{OTHER}/"], "resources": [{"type": "repository", "id": "zoo"}]},
        "arguments": {"feed": "https://jo:hunter2@feeds.test/zoo/", "auth_token": "s3cret", "keep": 3},
        "error": {"description": "no route to host", "traceback": "File ..."},
        **changed,
    }


class Server:
    """Answers a bundle's requests, except forbidden ones."""

    def __init__(self, *forbidden: str) -> None:
        self.forbidden = forbidden

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/pulp/api/v3/")
        if path in self.forbidden:
            return httpx.Response(403, json={"detail": "this needs admin"})
        return httpx.Response(200, json=self.answer(path, dict(request.url.params)))

    def answer(self, path: str, query: dict[str, str]) -> Any:
        entry = {"partition": 0, "offset": 4, "event": {"data": {"arguments": {"password": "hunter2"}}}}
        lists = {
            f"tasks/{TASK}/history/": {"results": [entry], "next": None},
            "workers/": {"results": [{"name": query.get("name"), "slots": 4}]},
        }
        if path == "tasks/":
            rows = [task(OTHER, pulp_created=EARLIER), task(OTHER, pulp_created=EARLIER, finished_at=EARLIER)]
            return {"results": rows if "reserved_resources" in query else [{"asked": query["parent_task"]}]}
        found = {
            f"tasks/{TASK}/": task(),
            f"tasks/{OTHER}/": task(OTHER),
            f"tasks/{TASK}/why/": {"reasons": []},
            f"task-groups/{GROUP}/": {"tasks": 7},
            "operations/sync/": {"name": "sync"},
            "status/": {"versions": [{"component": "core", "version": "3.1"}]},
        }
        return {**lists, **found}[path]


def test_what_is_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "bundle.json"
    command = ("--output", "json", "tasks", "bundle", "--task-id", TASK, "--to", str(target))
    assert admin(tmp_path, Server(), *command) == 0
    shown = json.loads(capsys.readouterr().out)
    documented.check("tasks bundle", shown, "pulp-admin")
    assert shown == {"file": str(target), "missing": {}}
    made = json.loads(target.read_text())
    assert made["task"]["error"] == {"description": "no route to host", "traceback": "File ..."}
    assert made["history"][0]["offset"] == 4
    assert made["children"] == [{"asked": f"/pulp/api/v3/tasks/{TASK}/"}]
    assert made["group"] == {"tasks": 7}
    assert made["waits_for"] == {"reasons": []}
    assert [each["pulp_href"] for each in made["depends_on"]] == [f"/pulp/api/v3/tasks/{OTHER}/"]
    assert [each["finished_at"] for each in made["before_on_its_resources"]["repository:zoo"]] == [LATER]
    assert made["worker"] == {"name": "w1", "slots": 4}
    assert made["operation"] == {"name": "sync"}
    assert made["server"]["versions"][0]["version"] == "3.1"
    assert set(made["client"]) == {"version", "python", "url"}
    assert target.stat().st_mode & 0o777 == 0o600


def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    target = tmp_path / "bundle.json"
    assert admin(tmp_path, Server(), "tasks", "bundle", "--task-id", TASK, "--to", str(target)) == 0
    text = target.read_text()
    assert "hunter2" not in text
    assert "s3cret" not in text
    assert json.loads(text)["task"]["arguments"] == {
        "feed": "https://...@feeds.test/zoo/",
        "auth_token": "...",
        "keep": 3,
    }


def test_what_the_user_may_not_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "bundle.json"
    server = Server("workers/", f"task-groups/{GROUP}/")
    assert admin(tmp_path, server, "tasks", "bundle", "--task-id", TASK, "--to", str(target)) == 0
    made = json.loads(target.read_text())
    assert (made["worker"], made["group"], set(made["missing"])) == (None, None, {"worker", "group"})
    assert "Without worker: " in capsys.readouterr().err


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "bundle.json"
    target.write_text("mine")
    assert admin(tmp_path, Server(), "tasks", "bundle", "--task-id", TASK, "--to", str(target)) == 65
    assert target.read_text() == "mine"
    assert "is there already: remove it, or choose another name with --to" in " ".join(capsys.readouterr().err.split())


def test_a_full_disk_leaves_no_half_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file looked like a bundle, and blocked the next try."""
    target = tmp_path / "bundle.json"
    command = ("tasks", "bundle", "--task-id", TASK, "--to", str(target))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("pulp_admin.bundle.version", lambda _: "1" * 100_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        assert admin(tmp_path, Server(), *command) == 74
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot be written: File too large" in " ".join(capsys.readouterr().err.split())
    assert not target.exists()
    assert admin(tmp_path, Server(), *command) == 0


def test_children_that_are_not_in_the_file_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server, target = Server(), tmp_path / "bundle.json"

    def answer(request: httpx.Request) -> httpx.Response:
        if "parent_task" in request.url.params:
            return httpx.Response(200, json={"count": 1234, "next": "...", "results": [{}] * 1000})
        return server(request)

    assert admin(tmp_path, answer, "tasks", "bundle", "--task-id", TASK, "--to", str(target)) == 0
    told = "234 of them, besides the 1000 that are in the file"
    assert json.loads(target.read_text())["missing"] == {"children": told}
    assert f"Without children: {told}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("postgres://jo:pw@db/x and http://a:b@c", "postgres://...@db/x and http://...@c"),
        ("https://feeds.test/a:b@c", "https://feeds.test/a:b@c"),
        ("https://feeds.test?mail=a@b.c", "https://feeds.test?mail=a@b.c"),
        ("https://feeds.test:8443#a@b.c", "https://feeds.test:8443#a@b.c"),
        ("https://jo:p?w#d@feeds.test/x", "https://...@feeds.test/x"),
        ("cloned https://ghp_0123@git.test/x", "cloned https://...@git.test/x"),
        (
            "GET https://s3.test/x?keyboard=1&X-Amz-Signature=ab%2Fc&access_token=d&page=2 failed",
            "GET https://s3.test/x?keyboard=1&X-Amz-Signature=...&access_token=...&page=2 failed",
        ),
        ("'https://feeds.test/?token=abc'", "'https://feeds.test/?token=...'"),
        (
            {"client_key": "x", "keyboard": "y", "Password": ["z"]},
            {"client_key": "...", "keyboard": "y", "Password": "..."},
        ),
        ([1, None, {"a": [{"token": 5}]}], [1, None, {"a": [{"token": "..."}]}]),
    ],
)
def test_what_is_taken_out(value: Any, left: Any) -> None:
    assert without_secrets(value) == left
