"""`pulp-admin schedules` against a server that is one function."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import documented
from tests.support.admin import admin

ROOT = "/pulp/api/v3/task-schedules/"
ID = "0d6c51e7-5b0e-4f39-9c26-6a5cbb3a8f10"
TASK = "e0e0a250-eded-468f-9d97-0419a00b130f"
NIGHTLY: dict[str, Any] = {
    "pulp_href": f"{ROOT}{ID}/",
    "name": "nightly",
    "task_name": "sync",
    "dispatch_interval": None,
    "next_dispatch": "2026-11-25T01:30:00.000000Z",
    "last_task": f"/pulp/api/v3/tasks/{TASK}/",
    "enabled": True,
    "cron": "30 2 * * *",
    "interval_seconds": None,
    "at": None,
    "start": None,
    "time_zone": "Europe/Berlin",
    "missed": "skip",
    "overlap": "skip",
    "arguments": {"repo_id": "zoo"},
    "resources": None,
    "tags": None,
    "queue": "default",
    "priority": 0,
    "timeout_seconds": None,
    "created_by": "/pulp/api/v3/users/jo/",
    "version": 1,
    "last_tick": "2026-11-24T01:30:00.000000Z",
    "last_outcome": "submitted",
    "failures_in_a_row": 2,
    "last_failures": [],
}
RUN = {
    "tick": "2026-11-24T01:30:00.000000Z",
    "outcome": "submitted",
    "missed": 3,
    "task": f"/pulp/api/v3/tasks/{TASK}/",
    "state": "failed",
    "error": {"description": "no route to host"},
    "decided_at": "2026-11-24T01:30:00.500000Z",
}


class Server:
    """Answers as the API does, and records requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path, json.loads(request.content or b"null")
        if request.method != "GET":
            self.asked.append((request.method, path, body))
        if path.startswith("/pulp/api/v3/operations/"):
            return httpx.Response(404, json={"detail": "No Operation matches the given query."})
        if path.endswith("/runs/"):
            return httpx.Response(200, json={"count": 1, "next": None, "previous": None, "results": [RUN]})
        if path.endswith("/preview/"):
            ticks = ["2026-11-25T01:30:00.000000Z", "2026-11-26T01:30:00.000000Z"]
            return httpx.Response(200, json={"time_zone": "UTC", "enabled": True, "ticks": ticks})
        if request.method == "DELETE":
            return httpx.Response(204)
        if request.method == "POST":
            return httpx.Response(201, json=NIGHTLY)
        if request.method == "PATCH":
            return httpx.Response(200, json={**NIGHTLY, **body})
        wanted = request.url.params.get("name", "").strip()  # an empty filter counts as no filter, as in Pulp 3
        rows = [NIGHTLY] if wanted in ("", "nightly") else []
        return httpx.Response(200, json={"count": len(rows), "next": None, "previous": None, "results": rows})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (
            ["--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "-a", "repo_id=zoo"],
            {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "arguments": {"repo_id": "zoo"}},
        ),
        (["--every", "1d12h", "--missed", "run-once"], {"interval_seconds": 129_600, "missed": "run-once"}),
        (["--every", "90s"], {"interval_seconds": 90}),
        (
            ["--at", "2026-12-01T08:00:00+01:00", "--overlap", "allow", "--disabled"],
            {"at": "2026-12-01T07:00:00Z", "overlap": "allow", "enabled": False},
        ),
        (
            [
                "--every",
                "10m",
                "--start",
                "2026-12-01T00:00:00Z",
                "--resource",
                "repository:zoo:shared",
                "--tag",
                "night",
            ],
            {
                "interval_seconds": 600,
                "start": "2026-12-01T00:00:00Z",
                "resources": [{"type": "repository", "id": "zoo", "access": "shared"}],
                "tags": ["night"],
            },
        ),
    ],
)
def test_create_sends_what_is_said(server: Server, tmp_path: Path, options: list[str], body: dict[str, Any]) -> None:
    assert admin(tmp_path, server, "schedules", "create", "nightly", "sync", *options) == 0
    assert server.asked == [("POST", ROOT, {"name": "nightly", "task_name": "sync", "arguments": {}, **body})]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "nightly", "sync"], "When is it to run? Give --cron, --every or --at."),
        (["create", "nightly", "sync", "--cron", "* * * * *", "--every", "1h"], "exclude each other"),
        *(
            (["create", "nightly", "sync", "--every", wrong], "a duration is expected, such as 90s")
            for wrong in ("90", "0s")
        ),
        (["create", "nightly", "sync", "--every", "often"], "a duration is expected, such as 90s, 15m, 6h or 1d12h"),
        (["update", "nightly"], "Nothing is to be changed: give at least one option."),
        (["preview"], "Give the NAME of a schedule, or --cron, --every or --at; not both."),
        (["preview", "nightly", "--cron", "* * * * *"], "not both"),
        (["delete", "nightly"], "There is no terminal to ask on: add --yes to do it."),
    ],
)
def test_wrong_words_are_told_before_anything_is_sent(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert admin(tmp_path, server, "schedules", *arguments) == 64
    assert said in " ".join(capsys.readouterr().err.split())
    assert server.asked == []


def test_a_name_that_is_nearly_right(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "schedules", "show", "nightyl") == 65
    assert "There is no schedule 'nightyl'. Did you mean 'nightly'?" in capsys.readouterr().err


def test_update_keeps_the_arguments_that_are_not_named(server: Server, tmp_path: Path) -> None:
    assert admin(tmp_path, server, "schedules", "update", "nightly", "-a", "depth:=2", "-a", "repo_id:=null") == 0
    assert admin(tmp_path, server, "schedules", "update", "nightly", "--every", "1h", "--rename", "hourly") == 0
    path = f"{ROOT}{ID}/"
    assert server.asked == [
        ("PATCH", path, {"arguments": {"depth": 2}}),
        ("PATCH", path, {"interval_seconds": 3600, "name": "hourly"}),
    ]


def test_enable_disable_and_delete(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "schedules", "disable", "nightly") == 0
    assert admin(tmp_path, server, "schedules", "enable", "nightly") == 0
    assert admin(tmp_path, server, "schedules", "delete", "nightly", "--yes") == 0
    assert server.asked == [
        ("PATCH", f"{ROOT}{ID}/", {"enabled": False}),
        ("PATCH", f"{ROOT}{ID}/", {"enabled": True}),
        ("DELETE", f"{ROOT}{ID}/", None),
    ]
    assert capsys.readouterr().out.splitlines() == [
        "Schedule [nightly] successfully disabled",
        "Schedule [nightly] successfully enabled",
        "Schedule [nightly] successfully deleted",
    ]


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize("command", ["show", "update", "enable", "disable", "delete"])
def test_a_blank_name_is_that_of_no_schedule(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    """A script whose variable is empty must not change the first schedule."""
    options = {"update": ["--every", "1h"], "delete": ["--yes"]}.get(command, [])
    assert admin(tmp_path, server, "schedules", command, name, *options) == 65
    assert server.asked == []
    assert f"There is no schedule {name!r}." in capsys.readouterr().err


def test_the_list_and_the_page(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "schedules", "list") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["SCHEDULE", "OPERATION", "WHEN", "NEXT", "LAST", "FAILURES"]
    assert row.split() == [
        *("nightly", "sync", "30", "2", "*", "*", "*", "Europe/Berlin", "2026-11-25T01:30:00Z"),
        *("2026-11-24T01:30:00Z", "submitted", "2"),
    ]
    assert admin(tmp_path, server, "schedules", "show", "nightly") == 0
    page = capsys.readouterr().out
    assert "Author:             jo" in page
    assert "3 earlier ones were missed. no route to host" in " ".join(page.split())


def test_a_page_has_what_else_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {
        "tags": ["night", "pulp:a:b"],
        "resources": [{"type": "repository", "id": "zoo", "access": "shared"}],
        "timeout_seconds": 90,
        "start": "2026-12-01T00:00:00.000000Z",
    }

    def answer(request: httpx.Request) -> httpx.Response:
        rows = [] if request.url.path.endswith("/runs/") else [{**NIGHTLY, **given}]
        return httpx.Response(200, json={"count": len(rows), "next": None, "previous": None, "results": rows})

    assert admin(tmp_path, answer, "schedules", "show", "nightly") == 0
    page = capsys.readouterr().out.splitlines()
    assert page[11:15] == [
        "Resources:          repository:zoo:shared",
        "Tags:               night, pulp:a:b",
        "Time Limit:         1m30s",
        "Start:              2026-12-01T00:00:00Z",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["show", "nightly"],
        ["preview", "nightly"],
        ["create", "nightly", "sync", "--every", "1h"],
        ["update", "nightly", "--queue", "slow"],
        ["enable", "nightly"],
        ["disable", "nightly"],
        ["delete", "nightly", "--yes"],
    ],
)
def test_what_scripts_get_is_what_the_page_says(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert admin(tmp_path, server, "schedules", *arguments, "--output", "json") == 0
    documented.check(f"schedules {arguments[0]}", json.loads(capsys.readouterr().out), "pulp-admin")


def test_output_for_scripts(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "schedules", "list", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out) == [NIGHTLY]
    assert admin(tmp_path, server, "schedules", "show", "nightly", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out) == {**NIGHTLY, "runs": [RUN]}
    assert admin(tmp_path, server, "schedules", "preview", "nightly", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out)["ticks"] == [
        "2026-11-25T01:30:00.000000Z",
        "2026-11-26T01:30:00.000000Z",
    ]


def test_the_next_times_of_what_is_not_created(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin(tmp_path, server, "schedules", "preview", "--cron", "30 2 * * *", "--count", "2") == 0
    assert capsys.readouterr().out.splitlines() == ["2026-11-25T01:30:00Z", "2026-11-26T01:30:00Z"]
    assert server.asked == [
        ("POST", f"{ROOT}preview/", {"name": "preview", "task_name": "preview", "cron": "30 2 * * *"})
    ]


@pytest.mark.parametrize("command", ["list", "show", "preview", "create", "update", "enable", "disable", "delete"])
def test_every_command_shows_an_example(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, Server(), "schedules", command, "--help") == 0
    assert f"pulp-admin schedules {command}" in capsys.readouterr().out
