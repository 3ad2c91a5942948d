"""`pulp-admin tasks diff`: the fields of a task that changed between two moments."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pulp_admin.diff import Difference, differences

from tests.support.admin import admin

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
WAITING: dict[str, Any] = {"state": "waiting", "started_at": None, "progress_reports": [], "error": None}
RUNNING: dict[str, Any] = {
    "state": "running",
    "started_at": "2026-11-24T12:00:00Z",
    "progress_reports": [{"code": "sync", "done": 3}],
    "error": None,
}
FAILED: dict[str, Any] = {
    "state": "failed",
    "started_at": "2026-11-24T12:00:00Z",
    "progress_reports": [{"code": "sync", "done": 7}],
    "error": {"code": "PLP0000", "description": "No space"},
}


def test_each_field_is_named_by_its_path() -> None:
    assert list(differences(RUNNING, FAILED)) == [
        Difference("state", "running", "failed"),
        Difference("progress_reports[0].done", 3, 7),
        Difference("error.code", None, "PLP0000"),
        Difference("error.description", None, "No space"),
    ]


def test_what_goes_is_told_like_what_comes() -> None:
    forward = {each.field: (each.before, each.after) for each in differences(WAITING, FAILED)}
    backward = {each.field: (each.after, each.before) for each in differences(FAILED, WAITING)}
    assert forward == backward


@pytest.mark.parametrize("report", [WAITING, RUNNING, FAILED])
def test_equal_reports_have_no_differences(report: dict[str, Any]) -> None:
    assert list(differences(report, report)) == []


def server(request: httpx.Request) -> httpx.Response:
    assert request.url.path == f"/pulp/api/v3/tasks/{ID}/"
    moments = {"3:7": WAITING, "3:9": RUNNING, None: FAILED}
    return httpx.Response(200, json=moments[request.url.params.get("as_of")])


def test_the_page_has_the_field_and_both_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "tasks", "diff", "--task-id", ID, "3:7", "3:9") == 0
    assert capsys.readouterr().out == (
        "FIELD                     BEFORE   AFTER\n"
        "state                     waiting  running\n"
        "started_at                -        2026-11-24T12:00:00Z\n"
        "progress_reports[0].code  -        sync\n"
        "progress_reports[0].done  -        3\n"
    )


def test_without_an_end_it_is_compared_with_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "--output", "json", "tasks", "diff", "--task-id", ID, "3:9") == 0
    assert json.loads(capsys.readouterr().out) == {
        "task_id": ID,
        "from": "3:9",
        "to": None,
        "changed": {
            "state": {"before": "running", "after": "failed"},
            "progress_reports[0].done": {"before": 3, "after": 7},
            "error.code": {"before": None, "after": "PLP0000"},
            "error.description": {"before": None, "after": "No space"},
        },
    }


def test_that_nothing_has_changed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(tmp_path, server, "tasks", "diff", "--task-id", ID, "3:9", "3:9") == 0
    assert tuple(capsys.readouterr()) == ("", "Nothing has changed.\n")
